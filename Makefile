# Everything a clean clone needs: make and python3 (3.11 or newer). `make help` lists the targets.

PYTHON ?= python3
VENV ?= .venv
DJANGO ?=
ASGIREF ?=
MATRIX ?= 3.11-5.2 3.12-6.0 3.13-6.1
SKIP ?=
SOAK ?= 100000
JOBS ?= 3
ARGS ?=
DATABASES ?= $(if $(DATABASE_URL),url,sqlite-memory sqlite-file postgresql)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-all test-lowest lint format bench soak coverage clean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' Makefile | while IFS='|' read -r name text; do printf '%-17s %s\n' "$$name" "$$text"; done

demo: $(VENV)/.demo ## Run the example shop (SMOKE=1: drive it over HTTP, then exit)
	$(VENV)/bin/python examples/bookshop/run.py $(if $(SMOKE),--smoke)

test: $(VENV)/.test ## Run the suite on every database, or on DATABASE_URL alone (ARGS="-k pool")
	@$(call run_suite,$(ARGS))

# The files go round between JOBS processes; pytest starts a server or makes a file for each.
test-all: $(addprefix test-on-,$(filter-out $(SKIP),$(MATRIX))) ## Run it with every supported Python and Django found here

test-lowest: ## Run it on SQLite in memory with the oldest Django and asgiref that pyproject.toml allows
	@$(MAKE) --no-print-directory test DJANGO=5.2 ASGIREF=3.9.1 VENV=.venv-lowest DATABASES=sqlite-memory

lint: $(VENV)/.lint ## Check format, style, types and layers
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/ruff check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

format: $(VENV)/.lint ## Rewrite the code as lint wants it, where a tool can
	$(VENV)/bin/ruff check --fix-only
	$(VENV)/bin/ruff format

bench: $(VENV)/.bench ## Measure DAF beside its peers
	$(VENV)/bin/python -m benchmarks

soak: $(VENV)/.test ## Send 100,000 requests, cut off at random, and see what they leave behind (SOAK=10000)
	@DAF_SOAK=$(SOAK) $(MAKE) --no-print-directory test DATABASES=$(firstword $(DATABASES)) ARGS="tests/scenarios/views/test_soak.py"

coverage: $(VENV)/.test ## Run the suite on every database and show what no run reached
	$(VENV)/bin/coverage erase
	@$(call run_suite,--cov --cov-append --cov-report= $(ARGS))
	$(VENV)/bin/coverage report

clean: ## Remove environments, caches and builds
	rm -rf $(VENV) .venv-* .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -prune -exec rm -rf {} +

# Every database runs even if an earlier one failed, so that one run tells all. The suite starts hundreds of processes:
# without bytecode, which some containers switch off, each of them would compile all modules anew.
define run_suite
failed=; \
for database in $(DATABASES); do \
	printf '\n== %s: %s\n' '$(VENV)' "$$database"; \
	PYTHONDONTWRITEBYTECODE= DAF_TEST_DATABASE=$$database $(VENV)/bin/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(1) || failed="$$failed $$database"; \
done; \
if [ -n "$$failed" ]; then echo "FAILED in $(VENV) on:$$failed"; exit 1; fi
endef

# One Python, one Django, every database: `make test-on-3.13-6.1`. pyenv's shims exist for Pythons that do not
# run, so a candidate counts only once it has run something.
test-on-%:
	@version=$(word 1,$(subst -, ,$*)); django=$(word 2,$(subst -, ,$*)); \
	for python in "python$$version" $$(pyenv root 2>/dev/null)/versions/$$version.*/bin/python; do \
		if "$$python" -c '' 2>/dev/null; then \
			exec $(MAKE) --no-print-directory test PYTHON="$$python" DJANGO=$$django VENV=.venv-$$version; \
		fi; \
	done; \
	echo "SKIPPED: Python $$version is not installed here, so Django $$django was not tested."

# An environment holds one stamp per dependency group installed in it; a change of pyproject.toml renews them.
# --group needs pip 25.1, newer than what Python 3.11 ships.
$(VENV)/.pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "DAF needs Python 3.11 or newer: make PYTHON=python3.13")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/.%: pyproject.toml | $(VENV)/.pip
	$(VENV)/bin/python -m pip install --quiet --editable . --group $* $(if $(DJANGO),'django~=$(DJANGO).0') $(if $(ASGIREF),'asgiref==$(ASGIREF)')
	@touch $@
