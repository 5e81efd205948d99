"""Another user of this machine, for what one must not reach: `nobody`, who is everywhere. None is made.

Its programs need an interpreter that everybody may run: this one's, or the system's own.
"""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

NAME = "nobody"
ID = 65534
SYSTEM_PYTHON = "/usr/bin/python3"
PROGRAMS = Path(__file__).with_name("programs")


@cache
def python() -> str:
    """An interpreter that everybody may run; "" where there is none."""
    for found in (sys.executable, SYSTEM_PYTHON):
        try:
            tried = subprocess.run([found, "-I", "-S", "-c", ""], user=ID, group=ID, cwd="/", check=False)
        except OSError:
            continue
        if tried.returncode == 0:
            return found
    return ""


def needs_another_user() -> None:
    """Skip, and say why, where nobody can be given a process."""
    if os.geteuid() != 0:
        pytest.skip("only root starts processes as another user: run the tests as root")
    if not python():
        pytest.skip(f"{SYSTEM_PYTHON} is missing: apt-get install python3")


def program_in(folder: Path, name: str) -> list[str]:
    """The argv of a copy of that program which everybody may read; its arguments are to follow."""
    copy = folder / name
    shutil.copyfile(PROGRAMS / name, copy)
    copy.chmod(0o644)
    return [python(), "-I", "-S", str(copy)]
