"""The interface of a backend: run an operation on the state of a key, as one step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Self

if TYPE_CHECKING:
    from daf_views.settings import Settings
    from daf_views.throttling.operations import Operation, R


class Backend(ABC):
    """Keeps the state of keys, each until it expires. One object serves all event loops and threads."""

    is_shared: ClassVar[bool] = True
    """True if all processes of a site count together."""

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:  # noqa: ARG003 - for those that have some
        """Return the backend that ``DAF_VIEWS`` describes. Raise ImproperlyConfigured if it cannot be."""
        return cls()

    @abstractmethod
    async def run(self, key: str, operation: Operation[R], *, timeout: float) -> R:
        """Run the operation, and return its result.

        ``key`` has at most 100 characters, of ASCII, without spaces. Raises TimeoutError after ``timeout`` seconds,
        ThrottleBackendError or an error of the backend itself if it cannot count at present.
        """

    async def aclose(self) -> None:  # noqa: B027 - most have nothing to close
        """Close what the running event loop has open. It is opened again when it is needed."""
