"""Flower's door: its port and its login.

The port is looked for at each start, because nobody keeps it free in between: Flower prefers the usual one and takes
another when that is taken. The login never stands in an argv; readiness is asked with it, so that somebody else's
Flower on the port is not taken for ours.
"""

import secrets

from bridge.stack.ports import free_port, http_url
from bridge.stack.probes import HTTP_OK, http_get

PREFERRED_PORT = 5555
USER = "bridge"
ADDRESS = "127.0.0.1"


class FlowerDoor:
    """Where Flower answers, and to whom."""

    def __init__(self) -> None:
        self.port = PREFERRED_PORT
        self.password = secrets.token_urlsafe(18)

    @property
    def url(self) -> str:
        """Where it answers since its last start."""
        return http_url(ADDRESS, self.port)

    @property
    def login(self) -> str:
        """User and password, as basic authentication has them."""
        return f"{USER}:{self.password}"

    def arguments(self) -> tuple[str, ...]:
        """The arguments for one start, with a port that is free now."""
        self.port = free_port(self.port, ADDRESS)
        return (f"--address={ADDRESS}", f"--port={self.port}")

    def answers(self) -> bool:
        """Our Flower answers: it knows the password."""
        return http_get(ADDRESS, self.port, "/", login=self.login)[0] == HTTP_OK
