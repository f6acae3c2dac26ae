from collections.abc import Iterator

import pytest

from daf_orm import _plans
from daf_orm.settings import PlanSettings


@pytest.fixture(autouse=True)
def plans() -> Iterator[None]:
    """Keep plans, and compare only the first use of each."""
    _plans.activate(PlanSettings(CHECK_EVERY=1_000_000))
    yield
    _plans.deactivate()
