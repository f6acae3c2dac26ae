# Everything a clean clone needs: make and python3 (3.11 or newer). `make help` lists the targets.

PYTHON ?= python3
MATRIX ?= 3.11-5.2 3.12-6.0 3.13-6.1 3.14-6.1
TRIED ?= 3.11-5.2 3.13-6.1
SKIP ?=
SOAK ?= 100000
JOBS ?= 3
ARGS ?=
DATABASES ?= $(if $(DATABASE_URL),url,sqlite-memory sqlite-file postgresql native)
MYSQL = $(if $(filter mysql:%,$(DATABASE_URL)),url,$(if $(shell PATH="$$PATH:/usr/sbin" command -v mariadbd),mariadb))
UPGRADE ?= --upgrade
RACE_ROW = 3.13-6.1
RACE_PYTHON = $(word 1,$(subst -, ,$(RACE_ROW)))

# A row of the matrix is a Python and a Django, with their lock in requirements/. PYTHON chooses the row.
VERSION = $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
ROW := $(or $(ROW),$(filter $(VERSION)-%,$(MATRIX)),none)
VENV ?= $(if $(filter python3,$(PYTHON)),.venv,.venv-$(ROW))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-all test-django test-packages test-lowest test-newest test-mysql test-dist lint format docs screenshots audit bench
.PHONY: soak coverage dist changelog race race-here update lock-race clean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' Makefile | while IFS='|' read -r name text; do printf '%-18s %s\n' "$$name" "$$text"; done

demo: $(VENV)/.demo ## Run the example shop (SMOKE=1: drive it over HTTP, then exit)
	$(VENV)/bin/python examples/bookshop/run.py $(if $(SMOKE),--smoke)

test: $(VENV)/.test $(if $(filter mariadb,$(DATABASES))$(filter mysql:%,$(DATABASE_URL)),$(VENV)/.mysql) ## Run the suite on every database, or on DATABASE_URL alone (ARGS="-k pool")
	@$(call run_suite,$(ARGS))

# The files go round between JOBS processes; pytest starts a server or makes a file for each.
test-all: $(addprefix test-on-,$(filter-out $(SKIP),$(MATRIX))) $(filter-out $(SKIP:%=test-%),test-mysql) ## Run it with every supported Python and Django found here

test-django: $(VENV)/.test ## Run a part of Django's own suite without and with DAF, and compare (SHORT=1: less, SQLite only)
	$(VENV)/bin/python -m tests.suites.django_suite $(if $(SHORT),--short)
	$(if $(SHORT),,$(VENV)/bin/python -m tests.suites.django_suite --postgresql)
	$(if $(SHORT),,$(VENV)/bin/python -m tests.suites.django_suite --native --bridged)
	$(if $(SHORT),,$(VENV)/bin/python -m tests.suites.django_suite --plans)
	$(if $(SHORT),,$(VENV)/bin/python -m tests.suites.django_suite --plans --postgresql)

test-packages: $(VENV)/.test ## Run the suites of other packages without and with DAF, and compare (PACKAGES=adrf CHECKOUTS=~/src)
	$(VENV)/bin/python -m tests.suites.package_suites --lock requirements/$(ROW).txt \
		$(if $(CHECKOUTS),--checkouts $(CHECKOUTS)) $(ARGS) $(PACKAGES)

test-lowest: ## Run it on SQLite in memory with the oldest versions that pyproject.toml allows users to have
	@$(MAKE) --no-print-directory test-on-3.11-lowest DATABASES=sqlite-memory

test-mysql: ## Run it on MariaDB, if Debian's mariadb-server is installed, or on a DATABASE_URL that begins with mysql:
ifeq ($(MYSQL),)
	@echo "SKIPPED: there is no mariadbd here and no DATABASE_URL of MySQL's, so MySQL and MariaDB were not tested."
else
	@$(MAKE) --no-print-directory test DATABASES=$(MYSQL)
endif

test-newest: override VENV = .venv-newest
test-newest: DATABASES = sqlite-memory
test-newest: ## Run it on SQLite in memory with the newest release of every package, whatever the locks say
	@echo 'Installing the test group into $(VENV), of every package the newest release that $(PYTHON) can have'
	@$(PYTHON) -m venv --clear $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --upgrade pip
	@$(VENV)/bin/python -m pip install --quiet --no-compile --editable . --group test
	@if [ -e requirements/$(ROW).txt ]; then \
		echo 'Different from requirements/$(ROW).txt:'; \
		$(VENV)/bin/python requirements/differences.py requirements/$(ROW).txt; \
	fi
	@$(call run_suite,$(ARGS))

lint: $(VENV)/.lint ## Check format, style, types, layers, blocking calls and plain English
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/ruff check
	$(VENV)/bin/mypy
	$(VENV)/bin/python tests/typing/run.py
	$(VENV)/bin/lint-imports
	$(VENV)/bin/daf check daf_orm daf_views examples
	$(VENV)/bin/python -m tests.orm.static.docs_examples
	$(VENV)/bin/python -m tests.prose

format: $(VENV)/.lint ## Rewrite the code as lint wants it, where a tool can
	$(VENV)/bin/ruff check --fix-only
	$(VENV)/bin/ruff format

# Warnings are errors. Nothing is fetched: the theme brings its fonts and scripts, and the search is a file.
docs: $(VENV)/.docs ## Build the site in docs/ into build/docs
	@$(VENV)/bin/python -m sphinx -W --keep-going -E -q -j auto -b html -d build/doctrees docs build/docs
	@echo 'Built build/docs/index.html'

screenshots: docs $(VENV)/.test ## Take the pictures of the docs anew, in Debian's chromium
	$(VENV)/bin/python docs/screenshots.py

# Where no advisories can be had, pip-audit says that there are none: so it is first shown a release that has many.
AUDIT = .venv-audit/bin/pip-audit --disable-pip --progress-spinner off --requirement

audit: ## Look up the locked versions in the Python Packaging Advisory Database (skipped where that is out of reach)
	@$(PYTHON) -m venv .venv-audit && .venv-audit/bin/python -m pip install --quiet pip-audit
	@echo 'django==2.0' > .venv-audit/known.txt
	@if ! $(AUDIT) .venv-audit/known.txt --no-deps 2>/dev/null | grep -q CVE; then \
		echo 'SKIPPED: no advisories can be had here, so none were looked up.'; \
	else \
		for lock in $(filter-out requirements/3.11-lowest.txt,$(wildcard requirements/*.txt)); do \
			echo "$$lock"; $(AUDIT) $$lock --strict --require-hashes || failed=1; \
		done && test -z "$$failed"; \
	fi

bench: $(VENV)/.bench ## Measure DAF beside its peers
	$(VENV)/bin/python -m benchmarks

# The contenders' locks are for one Python, whichever made the default environment.
race: .venv-uv/.uv ## Race DAF and its peers, each in a separate environment, and write docs/why/race.md (QUICK=1: build/race)
	@$(call on_row,$(RACE_ROW),$(MAKE) --no-print-directory race-here PYTHON="$$python" ROW=$(RACE_ROW) VENV=.venv-$(RACE_ROW))

race-here: $(VENV)/.bench
	$(VENV)/bin/python -m benchmarks.race $(if $(QUICK),--quick)

soak: $(VENV)/.test ## Send 100,000 requests, cut off at random, and look for leaks (SOAK=10000)
	@DAF_SOAK=$(SOAK) $(MAKE) --no-print-directory test DATABASES=$(firstword $(DATABASES)) ARGS="tests/scenarios/views/test_soak.py"

coverage: $(VENV)/.test ## Run the suite on every database and show the lines that no run reached
	$(VENV)/bin/coverage erase
	@$(call run_suite,--cov --cov-append --cov-report= $(ARGS))
	$(VENV)/bin/coverage report

dist: $(VENV)/.row-$(ROW) ## Build the source distribution and the wheel into dist/
	@rm -rf dist
	@$(VENV)/bin/python -m hatchling build -d dist

test-dist: dist $(addprefix test-dist-on-,$(TRIED)) ## Install the wheel in empty environments, and use it as README.md says (TAG=v0.1.0: it is that version)

changelog: $(VENV)/.release ## Make the part of CHANGELOG.md for daf_orm.__version__ from changes/
	$(VENV)/bin/towncrier build --yes

update: lock-build lock-uv lock-mysql lock-race $(addprefix lock-,$(MATRIX) 3.11-lowest) ## Renew the locks in requirements/ (UPGRADE="--upgrade-package redis")

clean: ## Remove environments, caches and builds
	rm -rf $(VENV) .venv-* .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .daf_cache .ruff_cache build dist tests/typing/.build
	find . -name __pycache__ -prune -exec rm -rf {} +

# Every database runs even if an earlier one failed, so that one run tells all. A process of pytest that crashes ends its
# database's run, since xdist may wait for ever for the one in its place. The suite starts hundreds of processes:
# without bytecode, which some containers switch off, each of them would compile all modules anew.
define run_suite
failed=; \
for database in $(DATABASES); do \
	printf '\n== %s: %s\n' '$(VENV)' "$$database"; \
	PYTHONDONTWRITEBYTECODE= DAF_TEST_DATABASE=$$database $(VENV)/bin/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder --max-worker-restart 0 $(1) || failed="$$failed $$database"; \
done; \
if [ -n "$$failed" ]; then echo "FAILED in $(VENV) on:$$failed"; exit 1; fi
endef

# $(call on_row,ROW,COMMAND) runs COMMAND with $$python. pyenv's shims exist for Pythons that do not run, so a candidate
# counts only once it has run something.
define on_row
version=$(word 1,$(subst -, ,$(1))); \
for python in "python$$version" $$(pyenv root 2>/dev/null)/versions/$$version.*/bin/python; do \
	if "$$python" -c '' 2>/dev/null; then \
		exec $(2); \
	fi; \
done; \
echo "SKIPPED: Python $$version is not installed here, so row $(1) was left out."
endef

# One row, every database: `make test-on-3.13-6.1`.
test-on-%:
	@$(call on_row,$*,$(MAKE) --no-print-directory test PYTHON="$$python" ROW=$* VENV=.venv-$*)

test-dist-on-%:
	@$(call on_row,$*,"$$python" -m tests.project.distribution dist requirements/$*.txt $(if $(TAG),--tag $(TAG)))

# An environment is that of one row, made anew when its lock changes. It holds one stamp per dependency group installed
# in it. Each group is a part of the row's lock, so two groups never want different versions.
$(VENV)/.row-$(ROW): requirements/build.txt requirements/$(ROW).txt
	@echo 'Making $(VENV) with $(PYTHON) for row $(ROW), pip and the build backend from requirements/build.txt'
	@$(PYTHON) -m venv --clear $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --require-hashes --requirement requirements/build.txt
	@touch $@

# Most modules of a hundred packages are never imported: those that are get compiled then.
# pip takes versions and hashes from the constraints; what they lack, it refuses. It cannot check DAF itself.
$(VENV)/.%: pyproject.toml $(VENV)/.row-$(ROW)
	@echo 'Installing the $* group for Python $(subst -, and Django ,$(ROW)) from requirements/$(ROW).txt'
	@$(VENV)/bin/python -m pip install --quiet --no-compile --require-hashes --no-build-isolation \
		--constraint requirements/$(ROW).txt --group $* django asgiref
	@$(VENV)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# It has no wheels, so it is in no row's lock, but in a separate one.
$(VENV)/.mysql: requirements/mysql.txt $(VENV)/.row-$(ROW)
	@echo 'Building what $< has, for which it needs a C compiler, pkg-config and libmariadb-dev or libmysqlclient-dev'
	@$(VENV)/bin/python -m pip install --quiet --require-hashes --no-build-isolation --requirement $<
	@touch $@

requirements/%.txt:
	@echo 'There is no $@: $(PYTHON) is $(if $(VERSION),Python $(VERSION),no Python that runs), and the locks are for $(MATRIX) (Python-Django).'
	@echo 'Choose one of those, as in `make test PYTHON=python3.13`, or test without a lock: make test-newest'
	@exit 1

# uv resolves for any Python, also one that is not installed here, and for Linux: for macOS it finds the same versions.
# It finds the index by itself, or in UV_DEFAULT_INDEX.
UV = UV_CUSTOM_COMPILE_COMMAND='make update' .venv-uv/bin/uv pip compile --quiet
LOCK = $(UV) $(UPGRADE) --generate-hashes --python-platform linux --output-file

.venv-uv/.uv: requirements/uv.txt
	@echo 'Making .venv-uv with $(PYTHON), uv from $<'
	@$(PYTHON) -m venv --clear .venv-uv
	@.venv-uv/bin/python -m pip install --quiet --require-hashes --requirement $<
	@touch $@

lock-build lock-uv lock-mysql: lock-%: .venv-uv/.uv
	@echo 'Locking requirements/$*.txt'
	@$(LOCK) requirements/$*.txt --python-version 3.11 --group $*

$(addprefix lock-,$(MATRIX)): lock-%: lock-build
	@echo 'Locking requirements/$*.txt'
	@echo 'django~=$(word 2,$(subst -, ,$*)).0' | $(LOCK) requirements/$*.txt --python-version $(word 1,$(subst -, ,$*)) \
		--constraint requirements/build.txt --constraint - pyproject.toml --group dev

RACE_LOCKS = $(patsubst requirements/race/%.in,lock-race-%,$(wildcard requirements/race/*.in))

lock-race: $(RACE_LOCKS) ## Renew the locks of the race's contenders alone

$(RACE_LOCKS): lock-race-%: .venv-uv/.uv
	@echo 'Locking requirements/race/$*.txt'
	@$(LOCK) requirements/race/$*.txt --python-version $(RACE_PYTHON) requirements/race/$*.in

# Of what users install beside DAF, the lowest versions that pyproject.toml allows; of all else, the newest.
lock-3.11-lowest: lock-build
	@echo 'Locking requirements/3.11-lowest.txt'
	@$(UV) --python-version 3.11 --resolution lowest-direct --no-deps pyproject.toml --all-extras \
		| $(LOCK) requirements/3.11-lowest.txt --python-version 3.11 \
		--constraint requirements/build.txt --constraint - pyproject.toml --all-extras --group test
