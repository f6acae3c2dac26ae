"""COMMITs whose server does not answer, at the end of a process."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from daf_orm.databases import cancellation
from daf_orm.databases.base import CANCEL_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from daf_orm._leases.lease import Lease

logger = logging.getLogger("daf_orm")


def cut_off_commits(leases: Iterable[Lease], patience: float | None = None) -> int:
    """Cut off each COMMIT that was sent ``patience`` seconds ago (None: 5) and is not answered, and log its place.

    Its outcome is in doubt, because the server may have received it. It would keep the process from
    ending in order. Return the number. Does not block.
    """
    patience = CANCEL_TIMEOUT if patience is None else patience
    before = time.monotonic() - patience
    cut = []
    for lease in leases:
        if lease.committing_before(before) is None:
            continue
        with cancellation.commits:
            if (wrapper := lease.committing_before(before)) is None:  # it has ended meanwhile
                continue
            cut.append((lease, wrapper.alias))
            cancellation.cut_off(wrapper)
    for lease, alias in cut:
        logger.error(
            "The COMMIT of %s on %r was sent and not answered for %s s, and is cut off as the process ends: "
            "its outcome is in doubt. Look for its rows before you repeat it.",
            lease.origin or (lease.owner and lease.owner.name) or "a call",
            alias,
            patience,
        )
    return len(cut)
