"""What was decided and committed, as figures for the scrape."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.adapters.metrics import delivery_failures, escalations, loop_detections, wake_ack
from bridge.ports.figures import Figure, Noted


class Scraped:
    """The Figures of a process whose metrics are scraped."""

    def note(self, noted: Sequence[Noted]) -> None:
        """Count."""
        for one in noted:
            match one.figure:
                case Figure.WAKE_ACKED:
                    wake_ack.labels(one.label).observe(one.value)
                case Figure.DELIVERY_FAILED:
                    delivery_failures.inc(one.value)
                case Figure.LOOP_DETECTED:
                    loop_detections.labels(one.label).inc(one.value)
                case Figure.ESCALATED:
                    escalations.inc(one.value)
