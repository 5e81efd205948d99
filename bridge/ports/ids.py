"""Where ids come from."""

from __future__ import annotations

from typing import Protocol


class IdSource(Protocol):
    """New ids: opaque strings, a prefix over a UUIDv7, so that they sort by birth."""

    def new(self, prefix: str) -> str:
        """A new id, `prefix_` and 32 hex digits; `th` and `th_` give the same."""
        ...
