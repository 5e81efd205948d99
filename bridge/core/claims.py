"""What a token says of itself, unchecked: to plan by, never to decide by. The check is the web's and the hosts'."""

from __future__ import annotations

import base64
import json
from typing import Any


def unchecked_claims(token: str) -> dict[str, Any]:
    """Its claims; empty for what is no token."""
    try:
        payload = token.split(".")[1]
        found = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
