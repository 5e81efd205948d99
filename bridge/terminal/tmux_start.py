"""What a new pane runs first: it reads who it is to become from a private file, and becomes it.

Rules of this file:
- Run as a script, without the package: an agent is not to wait for imports.
- The file is the owner's alone, read once and removed: no variable of the user's shell is ever part of a
  command line, where everybody on the machine could read it.
- What the terminal says of itself (`TERM`, `TMUX`, ...) is the pane's; all else is the user's.
"""

import json
import os
import shutil
import sys
from pathlib import Path

KEPT = ("TERM", "COLORTERM", "TERM_PROGRAM", "TERM_PROGRAM_VERSION", "TMUX", "TMUX_PANE")
NO_SUCH_COMMAND = 127


def main(path: Path) -> None:
    """Become the program."""
    told = json.loads(path.read_text())
    path.unlink()
    argv, variables = told["argv"], told["environment"]
    for name, value in variables.items():
        if name not in KEPT:
            os.unsetenv(name) if value is None else os.putenv(name, value)
    try:
        found = shutil.which(argv[0], path=variables.get("PATH"))
        os.execv(found or argv[0], argv)  # noqa: S606  the human's own command, never a shell line
    except OSError as error:
        sys.stderr.write(f"bridge: cannot run {argv[0]}: {error.strerror}\n")
        sys.exit(NO_SUCH_COMMAND)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
