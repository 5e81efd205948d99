"""Which machine a host's worker stands on, and which version of this code runs there."""

from __future__ import annotations

import hashlib
import os
import platform
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bridge.config import Settings

PACKAGE = "wakebridge"
PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
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


def code_version() -> str:
    """The version of this code: of the installed package, or, in an image, of the source tree that it runs from."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        pass
    try:
        with PYPROJECT.open("rb") as stream:
            return str(tomllib.load(stream)["project"]["version"])
    except (OSError, ValueError, KeyError):
        return "?"
