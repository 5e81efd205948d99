"""Every trap on every adapter: the names of these tests are the report of `bridge doctor runtime`."""

from collections.abc import Callable

import pytest

from bridge.conformance.live_play import live_traps
from bridge.conformance.post_traps import POST_TRAPS
from bridge.conformance.start_traps import START_TRAPS
from bridge.conformance.traps import Mark, Tried

Report = Callable[[str, str], dict[str, Tried]]

LIVE = [(adapter, preset) for adapter in ("pty", "tmux") for preset in ("line", "codex", "claude")]
START = ["codex", "claude", "gemini"]

LIVE_CASES = [(*one, trap.name) for one in LIVE for trap in live_traps(*one)]
CASES = [
    *(
        pytest.param(*case, marks=[pytest.mark.needs("tmux")] if case[0] == "tmux" else [])
        for case in LIVE_CASES
    ),
    *(pytest.param("command", preset, trap.name) for preset in START for trap in START_TRAPS),
    *(pytest.param("webhook", "", trap.name) for trap in POST_TRAPS),
]
SKIPPED = {"the preset does not say what its ids look like (native_form)"}


@pytest.mark.parametrize(("adapter", "preset", "name"), CASES)
def test_an_adapter_gets_past_a_trap(tried: Report, adapter: str, preset: str, name: str) -> None:
    found = tried(adapter, preset)[name]
    assert found.result is Mark.PASSED or found.why in SKIPPED, f"{found.why} ({found.what})"
