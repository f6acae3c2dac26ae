from pathlib import Path

import pytest

from daf_orm.static.registry.manage import find_manage


@pytest.mark.parametrize(
    "line",
    [
        'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")',
        'os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"',
        'environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings") if True else None',
    ],
)
def test_the_settings_module_is_read_from_manage_py(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "shop" / "views"
    folder.mkdir(parents=True)
    (tmp_path / "manage.py").write_text(f"import os\n{line}\n")
    monkeypatch.chdir(folder)

    found = find_manage([Path()])

    assert found is not None
    assert (found.file, found.settings) == (tmp_path.resolve() / "manage.py", "shop.settings")


@pytest.mark.parametrize("text", ["", "(", "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', name)\n"])
def test_a_manage_py_that_names_no_settings_is_passed_over(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "manage.py").write_text(text)
    monkeypatch.chdir(tmp_path)

    found = find_manage([Path()])

    assert found is None or found.file.parent != tmp_path
