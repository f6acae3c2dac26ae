"""``python -m daf_orm.static check PATH…``."""

import sys

from daf_orm.static.cli import main

if __name__ == "__main__":
    sys.exit(main())
