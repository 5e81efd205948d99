"""A request arrives whole within its time, head and body together, however they trickle; and its answer is taken.

The time runs from the first byte of a request to the last that is read of it. Between requests a connection may be
idle for a while. All is measured at the socket, so nothing above has to know of it.

Imported before gevent has patched anything: nothing here imports the app.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

from gunicorn.http.errors import ParseException

from bridge.adapters.timing import stopwatch


class TooSlow(ParseException):  # type: ignore[misc]  # gunicorn has no types
    """The request did not arrive in time."""


class TimedLink:
    """A client's socket that bounds how long one request may take to come; else it is that socket, `link`."""

    def __init__(
        self,
        link: Any,  # noqa: ANN401  gevent's
        *,
        request_s_max: float,
        idle_s_max: float,
        answer_s_max: float,
    ) -> None:
        self.link, self._answer_s_max = link, answer_s_max
        self._request_s_max, self._idle_s_max = request_s_max, idle_s_max
        self._passed_s: Callable[[], float] | None = None
        self._request: Any = None

    def serve(self, request: Any) -> None:  # noqa: ANN401  gunicorn's
        """What comes from now on is the body of this request: when it is late, the connection ends with its answer."""
        self._request = request

    def await_next(self) -> None:
        """The next byte is the first one of another request."""
        self._passed_s = self._request = None

    def recv(self, size: int) -> bytes:
        """As a socket's; an idle client is one that has gone. Raises TooSlow."""
        if self._passed_s is None:
            data = self._within(self._idle_s_max, size) or b""
            self._passed_s = stopwatch()
            return data
        left_s = self._request_s_max - self._passed_s()
        found = self._within(left_s, size) if left_s > 0 else None
        if found is None:
            if self._request is not None:
                self._request.force_close()
            raise TooSlow
        return found

    def sendall(self, data: bytes) -> None:
        """As a socket's; a client that does not read is one that has gone. Raises BrokenPipeError."""
        self.link.settimeout(self._answer_s_max)
        try:
            self.link.sendall(data)
        except TimeoutError as error:
            raise BrokenPipeError(errno.EPIPE, "the client does not read its answer") from error
        finally:
            self.link.settimeout(None)

    def _within(self, seconds: float, size: int) -> bytes | None:
        self.link.settimeout(seconds)
        try:
            data: bytes = self.link.recv(size)
        except TimeoutError:
            return None
        finally:
            self.link.settimeout(None)
        return data

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self.link, name)
