"""The lists of the import contracts have every module that they are about."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONTRACTS = {
    contract["name"]: contract
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
}


def modules_of(folder: str) -> set[str]:
    files = [file for file in (ROOT / folder).iterdir() if file.suffix == ".py" or (file / "__init__.py").exists()]
    return {file.stem for file in files}


def test_every_private_module_of_daf_orm_is_forbidden_to_daf_views():
    private = {f"daf_orm.{name}" for name in modules_of("daf_orm") if name.startswith("_") and name != "__init__"}

    assert set(CONTRACTS["daf_views uses the doors of daf_orm only"]["forbidden_modules"]) == private | {
        "daf_orm.databases"
    }


def test_every_middleware_is_kept_apart_from_the_others():
    shared = {"__init__", "base", "checks", "twins"}
    twins = {f"daf_views.middleware.{name}" for name in modules_of("daf_views/middleware") - shared}

    assert set(CONTRACTS["A middleware knows no other"]["modules"]) == twins


def test_everything_that_can_be_chosen_is_kept_apart():
    folders = {
        "daf_views.throttling.backends": {"base"},
        "daf_views.throttling.algorithms": set(),
        "daf_views.idempotency.stores": {"base"},
        "daf_views.streaming.broadcast.backends": {"base"},
    }
    chosen = {
        f"{package}.{name}"
        for package, shared in folders.items()
        for name in modules_of(package.replace(".", "/")) - shared - {"__init__"}
    }
    schemas = {f"daf_views.schemas.{name}" for name in modules_of("daf_views/schemas") if name.endswith("_schema")}

    contract = CONTRACTS["A module that can be chosen does not know its alternatives"]
    assert set(contract["modules"]) == chosen | schemas, f"pyproject.toml: list them in {contract['name']!r}"
