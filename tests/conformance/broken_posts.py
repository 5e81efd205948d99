"""Webhook runtimes that do what senders of webhooks do wrong in the field."""

import http.client
import itertools
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from bridge.adapters.presets.webhook import WebhookData
from bridge.adapters.runtimes.webhook import Services, WebhookRuntime
from bridge.conformance.posted import PostBench
from bridge.core.states import Evidence
from bridge.ports.runtime import Handed, Line, Probed, SessionRef

Resolve = Callable[[str, int], Sequence[str]]


class YesMan(WebhookRuntime):
    """Goes wherever it is sent, believes whoever answers, and calls everything success."""

    def __init__(self, services: Services, resolve: Resolve) -> None:
        super().__init__(services, resolve=resolve)
        self._held, self._look_up = services, resolve
        self._numbers = itertools.count(1)

    def probe(self, session: SessionRef, *, quiet_s: float, force: bool = False) -> Probed:
        del session, quiet_s, force
        return Probed(free=True)

    def hand_over(self, session: SessionRef, line: Line) -> Handed:
        service = self._held.find(session)
        assert service is not None
        self._look_up(service.data.host, service.data.port)
        self._look_up(service.data.host, service.data.port)
        self._tell(service.data, service.data.port, line.text)
        return Handed(Evidence.ACCEPTED)

    def _tell(self, data: WebhookData, port: int, text: str) -> None:
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=4)
        if data.scheme == "https":
            trusting = ssl._create_unverified_context()  # noqa: S323
            line = http.client.HTTPSConnection("127.0.0.1", port, timeout=4, context=trusting)
        unsigned = {
            "webhook-id": str(next(self._numbers)),
            "webhook-timestamp": "1",
            "webhook-signature": "v1,no",
        }
        try:
            line.request("POST", "/wake", text, unsigned)
            answer = line.getresponse()
            if elsewhere := answer.getheader("location"):
                self._tell(data, urlsplit(elsewhere).port or 0, text)
        except (OSError, http.client.HTTPException):
            pass
        finally:
            line.close()


class YesBench(PostBench):
    def make(self, held: Services) -> WebhookRuntime:
        self.held = held
        return YesMan(held, self._resolve)


class Shy(YesMan):
    """Asks nobody."""

    def hand_over(self, session: SessionRef, line: Line) -> Handed:
        del session, line
        return Handed(Evidence.NOT_TOUCHED)


class ShyBench(PostBench):
    def make(self, held: Services) -> WebhookRuntime:
        self.held = held
        return Shy(held, self._resolve)


BENCHES: dict[str, Callable[[Path], PostBench]] = {"yes-man": YesBench, "shy": ShyBench}
