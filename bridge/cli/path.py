"""So that an agent's own `bridge inbox` is this bridge, wherever it was installed, and nothing else changes for it.

`bridge` is also the name of a system command (iproute2). The folder that is put first on the PATH has this one link in
it: a virtualenv's folder would bring its python as well.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from pathlib import Path

NAME = "bridge"


def with_bridge(path: str, run_dir: Path, ours: Path | None = None) -> str:
    """`path`, with a folder before it if `bridge` would not be found there, or would be another program."""
    own = ours or Path(sys.executable).parent / NAME
    found = shutil.which(NAME, path=path)
    if not own.exists() or (found is not None and Path(found).resolve() == own.resolve()):
        return path
    link = run_dir / "bin" / NAME
    link.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not link.is_symlink() or link.readlink() != own:
        # Two may start at once: the link is made beside, and takes its place in one step.
        fresh = link.with_name(f"{NAME}.{os.getpid()}")
        with contextlib.suppress(FileExistsError):
            fresh.symlink_to(own)
        fresh.replace(link)
    return f"{link.parent}:{path}"
