"""Print what is installed in another version than a lock has: ``python requirements/differences.py LOCK``."""  # noqa: INP001 - a script

import re
import sys
from importlib.metadata import distributions
from pathlib import Path

lock = Path(sys.argv[1]).read_text()
locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock, re.MULTILINE))
installed = {re.sub(r"[-_.]+", "-", each.name).lower(): each.version for each in distributions()}
names = sorted(installed.keys() - {"django-daf", "pip", "setuptools"})  # a venv brings the latter two

different = [name for name in names if installed[name] != locked.get(name)]
for name in different:
    print(f"  {name} {installed[name]} (locked: {locked.get(name, 'none')})")  # noqa: T201 - its output
if not different:
    print("  nothing")  # noqa: T201
