"""Print what is installed in another version than in the locks: ``python requirements/differences.py LOCK…``."""  # noqa: INP001 - a script

import re
import sys
from importlib.metadata import distributions
from pathlib import Path

locks = "".join(Path(name).read_text() for name in sys.argv[1:])
locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", locks, re.MULTILINE))
installed = {re.sub(r"[-_.]+", "-", each.name).lower(): each.version for each in distributions()}
del installed["django-daf"]

for name, version in sorted(installed.items()):
    if version != locked.get(name):
        print(f"  {name} {version} (locked: {locked.get(name, 'not there')})")  # noqa: T201 - its output
