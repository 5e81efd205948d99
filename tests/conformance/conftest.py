"""Each adapter runs the whole suite once; the tests are the lines of its report."""

import os
from collections.abc import Callable, Iterator

import pytest

from bridge.conformance.run import Chosen, try_preset, try_webhook
from bridge.conformance.traps import Tried
from tests.conformance.broken import living


def _nobody(_adapter: str, _tried: Tried) -> None:
    pass


Report = Callable[[str, str], dict[str, Tried]]


@pytest.fixture(name="tried", scope="session")
def _tried() -> Iterator[Report]:
    """What came of a preset's traps on an adapter, by name; tried when it is asked for first."""
    kept: dict[tuple[str, str], dict[str, Tried]] = {}

    def tried(adapter: str, preset: str) -> dict[str, Tried]:
        if (adapter, preset) not in kept:
            if adapter == "webhook":  # no preset of ours is a service's
                one = try_webhook(Chosen(), _nobody)
            else:
                (one,) = try_preset(preset, None, Chosen(adapter), _nobody)
            assert one.available, one.why
            kept[adapter, preset] = {trap.name: trap for trap in one.traps}
        return kept[adapter, preset]

    yield tried
    assert living(f"/wbd-{os.getpid()}-") == [], "a program of the suite outlived it"
