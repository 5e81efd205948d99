"""What of a decision is counted, noted on the unit of work that stores it."""

from __future__ import annotations

from datetime import datetime

from bridge.core.states import WakeState
from bridge.core.wake_events import Wake
from bridge.ports.figures import Figure, Noted


def wake_figures(wake: Wake, now: datetime) -> list[Noted]:
    """What counts of a wake that has come into this state."""
    if wake.state is WakeState.FAILED:
        return [Noted(Figure.DELIVERY_FAILED)]
    if wake.state is WakeState.ACKED and wake.rung is not None:
        return [Noted(Figure.WAKE_ACKED, wake.rung.value, (now - wake.created_at).total_seconds())]
    return []
