"""Files that are there whole or not at all, whatever is killed or loses its power meanwhile."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO


def settle(file: IO[bytes]) -> None:
    """Bring all that was written to the disk, and close the file."""
    file.flush()
    os.fsync(file.fileno())
    file.close()


def give_name(unfinished: Path, path: Path) -> None:
    """Let a settled file be found under its name from now on."""
    unfinished.rename(path)
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
