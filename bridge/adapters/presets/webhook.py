"""How a preset says where an agent that is a service is told that something waits for it.

Rules of this file:

- The URL is the host owner's, read from a file of theirs: nobody else's word says where to send.
- It has one meaning: no user, no fragment, no second spelling of a host. What is checked here is what is used.
- https; or http to addresses that `allow` names, and to no other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

from bridge.adapters.presets.command import PresetError

Network = IPv4Network | IPv6Network

TIMEOUT_S: Final = 15.0
TIMEOUT_S_MAX: Final = 30.0
URL_CHARS_MAX: Final = 2048
NETWORKS_MAX: Final = 50
PORTS: Final = {"https": 443, "http": 80}

_URL: Final = re.compile(r"[!#-\[\]-~]+")  # visible ASCII, but for the quote and the backslash
_HOST: Final = re.compile(r"(?!-)[A-Za-z0-9._-]{1,253}")


@dataclass(frozen=True, slots=True)
class WebhookData:
    """Where and how to tell the service. `allow`: addresses that are not global, and permitted all the same."""

    scheme: str
    host: str
    port: int
    target: str
    secret_file: str
    timeout_s: float = TIMEOUT_S
    allow: tuple[Network, ...] = ()
    ca_file: str | None = None

    @property
    def place(self) -> str:
        """The URL without what may be secret in it: for logs."""
        return f"{self.scheme}://{self.host}:{self.port}"


def read_webhook(name: str, data: Mapping[str, Any]) -> WebhookData:
    """The [webhook] of a preset, every value checked. Raises PresetError."""
    known = {"url", "secret_file", "timeout_s", "allow", "ca_file"}
    if data.keys() - known:
        _refuse(name, f"has unknown fields: {', '.join(sorted(data.keys() - known))}")
    scheme, host, port, target = _place(name, data.get("url"))
    allow = _networks(name, data.get("allow", []))
    if scheme == "http" and not allow:
        _refuse(name, "url: http is for addresses that allow names; use https")
    timeout_s = data.get("timeout_s", TIMEOUT_S)
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, int | float):
        _refuse(name, "timeout_s is a number of seconds")
    if not 1 <= timeout_s <= TIMEOUT_S_MAX:
        _refuse(name, f"timeout_s is from 1 to {TIMEOUT_S_MAX:g}")
    secret_file = _path(name, "secret_file", data.get("secret_file"))
    ca_file = _path(name, "ca_file", data["ca_file"]) if "ca_file" in data else None
    return WebhookData(scheme, host, port, target, secret_file, float(timeout_s), allow, ca_file)


def _place(name: str, url: object) -> tuple[str, str, int, str]:
    if not isinstance(url, str) or len(url) > URL_CHARS_MAX or not _URL.fullmatch(url):
        _refuse(name, "url is needed: a URL of visible ASCII letters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        _refuse(name, f"url: {error}")
    if parts.scheme not in PORTS:
        _refuse(name, "url: https://, or http:// to what allow names")
    if "@" in parts.netloc or "#" in url:
        _refuse(name, "url: no user, no password and no fragment")
    host = parts.hostname or ""
    if not (_HOST.fullmatch(host) or _is_ipv6(parts.netloc, host)) or host.endswith("."):
        _refuse(name, "url: its host is a name or an address")
    if port == 0:
        _refuse(name, "url: no port 0")
    query = f"?{parts.query}" if parts.query else ""
    return parts.scheme, host, port or PORTS[parts.scheme], (parts.path or "/") + query


def _is_ipv6(netloc: str, host: str) -> bool:
    try:
        return netloc.startswith("[") and IPv6Address(host).scope_id is None
    except ValueError:
        return False


def _networks(name: str, given: object) -> tuple[Network, ...]:
    if not isinstance(given, list) or len(given) > NETWORKS_MAX or not all(isinstance(x, str) for x in given):
        _refuse(name, "allow is a list of networks, as 127.0.0.0/8")
    try:
        return tuple(ip_network(network) for network in given)
    except ValueError as error:
        _refuse(name, f"allow: {error}")


def _path(name: str, field: str, given: object) -> str:
    if not isinstance(given, str) or not given.startswith("/") or "\0" in given:
        _refuse(name, f"{field} is an absolute path")
    return given


def _refuse(name: str, what: str) -> NoReturn:
    message = f"preset {name}: [webhook] {what}"
    raise PresetError(message)
