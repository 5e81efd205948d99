"""What knows a secret when it sees one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bridge.core.content import Secret


class SecretFinder(Protocol):
    """Looks at one text, in memory: no file, no network, any number of threads at once."""

    def find(self, text: str) -> Sequence[Secret]:
        """The secrets in it, in order, none within another."""
        ...


class NoSecrets:
    """Finds none: for who writes nothing that others read."""

    def find(self, text: str) -> Sequence[Secret]:
        """Nothing."""
        del text
        return ()
