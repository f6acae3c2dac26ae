"""The interface of a backend: send a message to all processes, and receive those of all channels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Protocol, Self

if TYPE_CHECKING:
    from daf_views.settings import Settings


class Receiver(Protocol):
    """Takes the messages of one connection. Both methods are called on the event loop that receives."""

    def connected(self) -> None:
        """Note that every message which is sent from now on will be delivered."""

    def deliver(self, channel: str, message: str) -> None:
        """Take one message, which is JSON."""


class Backend(ABC):
    """Carries messages. One object serves all event loops and threads."""

    is_shared: ClassVar[bool] = True
    """True if messages reach all processes of a site."""
    carrier: ClassVar[str]
    """The name of the carrier in error messages."""
    max_bytes: ClassVar[int]
    """The size of the largest message that it carries."""

    @classmethod
    @abstractmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the backend that ``DAF_VIEWS`` describes. Raise ImproperlyConfigured if it cannot be."""

    def size_of(self, channel: str, message: str) -> int:  # noqa: ARG002 - for those that send it with the message
        """Return the bytes of a message, which is ASCII, on its way."""
        return len(message)

    def commits_with(self, using: str) -> bool:  # noqa: ARG002 - for those that are a database
        """Return True if a message is sent by a statement, and so with the transaction, of the database ``using``."""
        return False

    @abstractmethod
    async def asend(self, channel: str, message: str) -> None:
        """Send a message. Raises BroadcastUnavailableError if that is not possible at present."""

    @abstractmethod
    def send(self, channel: str, message: str) -> None:
        """Send a message, from synchronous code."""

    @abstractmethod
    async def receive(self, receiver: Receiver) -> None:
        """Hand on messages until the task is cancelled. Any error means that messages may have been lost."""

    async def aclose(self) -> None:  # noqa: B027 - most have nothing to close
        """Close what the running event loop has open. It is opened again when it is needed."""
