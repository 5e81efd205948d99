"""What a name may look like: bounded in length and alphabet, so that it is safe in paths, logs and labels."""

from __future__ import annotations

import re

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}$"
"""Agents, sessions, ids."""
WORKSPACE_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
ROLE_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$"
REQUEST_ID_PATTERN = r"^[A-Za-z0-9._:-]{1,128}$"
PAUSE_SCOPE_PATTERN = r"^(all|workspace|(host|runtime|agent|thread):[A-Za-z0-9][A-Za-z0-9._:@-]{0,127})$"
KEY_PATTERN = r"^[\x21-\x7e]{1,255}$"
"""Idempotency keys."""
TRACEPARENT_PATTERN = r"^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"

BRIDGE = "wakebridge"
"""The bridge itself, where it says or does something of its own."""
RESERVED = frozenset({BRIDGE})
"""Senders of the server's own: no agent has such a name."""


def fits(pattern: str, text: str) -> bool:
    """Whether the whole text has that form (`$` alone would let a newline pass)."""
    return re.fullmatch(pattern.removeprefix("^").removesuffix("$"), text) is not None
