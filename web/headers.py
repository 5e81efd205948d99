"""Security headers, on every answer: nothing of it is a page of somebody else's, a guess or a copy.

Imported by gunicorn's worker before gevent has patched anything: the standard library alone.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from werkzeug.datastructures import Headers

ALWAYS: Mapping[str, str] = MappingProxyType(
    {
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "X-Frame-Options": "DENY",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
)
DEFAULTS: Mapping[str, str] = MappingProxyType(
    {
        "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    }
)
"""What a view may say otherwise."""
HSTS = "max-age=31536000"


def secure(headers: Headers | dict[str, str], *, by_https: bool) -> None:
    """Add them. A promise to stay on https is made by https alone: on another way anybody could take it away."""
    headers.update(ALWAYS)
    for name, value in DEFAULTS.items():
        headers.setdefault(name, value)
    if by_https:
        headers["Strict-Transport-Security"] = HSTS


def page_policy(style: str) -> str:
    """The policy of a page with just this inline style: no script, no form, no address but our own."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
