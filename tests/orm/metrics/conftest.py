from collections.abc import Iterator

import pytest

from daf_orm.metrics import registry


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a test register what it likes."""
    for name in ("_families", "_followers", "_counters"):
        monkeypatch.setattr(registry, name, [])
    return
