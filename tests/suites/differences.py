"""Outcomes that DAF changes, except those that it changes intentionally."""

from collections.abc import Iterable, Mapping


def tell(changed: Iterable[str] | Mapping[str, str], meant: Mapping[str, str], what: str) -> int:
    """Print each change that is not meant; return how many.

    ``changed`` has the names of tests, or what to print below each; ``meant`` has the reasons of the others.
    """
    unexplained = sorted(name for name in changed if name not in meant)
    for name in unexplained:
        print(f"{what} {name}", flush=True)
        if isinstance(changed, Mapping):
            print(changed[name], flush=True)
    return len(unexplained)
