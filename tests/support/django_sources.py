"""The suite of the installed Django, which only its source distribution has."""

from pathlib import Path

import django

from tests.support.source_distributions import unpacked


def django_tests() -> Path:
    """Return the ``tests`` folder."""
    return unpacked("django", django.__version__, only="/tests/") / "tests"
