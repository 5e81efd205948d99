"""A bar for work that takes a while: on standard error, and only where somebody looks."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


def progress(what: str, total: int) -> AbstractContextManager[Any]:
    """A bar with an `update(done)`, for the length of a `with`."""
    there = sys.stderr if sys.stderr.isatty() else io.StringIO()
    bar: AbstractContextManager[Any] = typer.progressbar(length=total, label=what, file=there)
    return bar
