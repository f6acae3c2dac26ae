"""A ticket: a list of one entry. The first of several threads and finalizers takes it.

Popping it is atomic and needs no lock. A finalizer must not take a lock: the garbage collector may run it in code that
holds the same lock.
"""


def new_ticket() -> list[bool]:
    """Return a ticket."""
    return [True]


def take(ticket: list[bool]) -> bool:
    """Take a ticket. False if it has been taken."""
    try:
        return ticket.pop()
    except IndexError:
        return False
