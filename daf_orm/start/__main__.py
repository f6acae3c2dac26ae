"""``python -m daf_orm.start NAME [DIRECTORY]``."""

import sys

from daf_orm.start.command import Command

if __name__ == "__main__":
    Command().run_from_argv(["python -m", "daf_orm.start", *sys.argv[1:]])
