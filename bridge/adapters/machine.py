"""Which machine a host's worker stands on."""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path

from bridge.config import Settings

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def machine(settings: Settings) -> str:
    """This machine in one start of it, and where its sockets are: beyond that, a lock file there means nothing.

    Two run directories on one machine are two machines, as two network namespaces are.
    """
    try:
        boot = BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        boot = "?"
    where = hashlib.sha256(os.fsencode(settings.run_dir)).hexdigest()[:8]
    return f"{platform.node().replace('/', '_')}:{boot}:{where}"
