"""A ticket: a list of one entry, for the first of several threads and finalizers that take it.

Popping it is atomic and needs no lock. A finalizer must not take one: the garbage collector ends a dropped task in
whatever code it strikes, perhaps in code that holds that very lock.
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
