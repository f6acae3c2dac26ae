"""django-bolt on its own server: ``python -m benchmarks.race.runbolt PORT``, with ``RACE`` as ``serving`` has it."""

from __future__ import annotations

import json
import os
import sys

from benchmarks.race.contenders import CONTENDERS
from benchmarks.race.serving import set_up


def main() -> None:
    """Serve until a signal ends it."""
    race = json.loads(os.environ["RACE"])
    set_up(CONTENDERS[race["contender"]], race["database"], middleware=race["middleware"])
    from django.core.management import call_command  # noqa: PLC0415 - once it is set up

    call_command("runbolt", host="127.0.0.1", port=int(sys.argv[1]), processes=1)


if __name__ == "__main__":
    main()
