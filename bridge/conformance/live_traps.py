"""The traps of live adapters: an agent in a terminal, and a human who uses it too."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any, Final

from bridge.conformance.stage import TEXT, Stage
from bridge.conformance.traps import Kind, Trap, Wrong
from bridge.conformance.truth import until
from bridge.core.states import Evidence

ACCEPTED, UNVERIFIED, STRANDED = Evidence.ACCEPTED, Evidence.UNVERIFIED, Evidence.STRANDED
ABSENT, NOT_TOUCHED, GONE = Evidence.ABSENT, Evidence.NOT_TOUCHED, Evidence.GONE
LEFT: Final = (NOT_TOUCHED, GONE, UNVERIFIED)
"""The agent is gone, or going: nothing may come to whoever has its place, and its line to us may hang up at once."""
LIVE_TRAPS: Final[list[Trap]] = []
BRIEF_S: Final = 2.0
"""The deadline where waiting would change nothing."""
READY_S: Final = 8.0
HELD_S: Final = 0.5
"""How late a program draws where something is to happen before it has drawn."""

_Play = Callable[[Stage], None]


def trap(
    name: str, what: str, *, only: str = "", look: str = "", into: list[Trap] = LIVE_TRAPS
) -> Callable[[_Play], _Play]:
    """Make a trap of the function below, and keep it."""

    def take(play: _Play) -> _Play:
        held = Trap(
            name, what, Kind.LIVE, play, frozenset(filter(None, [only])), frozenset(filter(None, [look]))
        )
        into.append(held)
        return play

    return take


def _simple(name: str, what: str, *allowed: Evidence, **oddity: Any) -> None:  # noqa: ANN401  JSON
    """A trap that is all in the program: one hand, and what may be claimed."""
    waits = {ACCEPTED, UNVERIFIED, STRANDED} & {*allowed}
    how: dict[str, Any] = {} if waits else {"deadline_s": BRIEF_S}

    def play(stage: Stage) -> None:
        stage.open(**oddity)
        stage.expect(stage.hand(**how), *allowed)

    trap(name, what)(play)


_simple(
    "empty box",
    "The box is empty and nobody is there: the line is to be taken, once, and that is to be seen.",
    ACCEPTED,
)
_simple(
    "placeholder text",
    "The empty box shows a faint hint; who takes it for a draft never wakes an idle agent.",
    ACCEPTED,
    placeholder='Try "fix lint errors"',
)
_simple(
    "faint suggestion",
    "The program suggests a prompt, faint, in the empty box: it is no draft of a human's.",
    ACCEPTED,
    NOT_TOUCHED,
    ghost="run the tests and fix what fails",
)
_simple(
    "suggestion like a draft",
    "The program suggests a prompt in plain letters: Enter there would send what nobody wrote.",
    ACCEPTED,
    NOT_TOUCHED,
    ghost="run the tests and fix what fails",
    ghost_dim=False,
)
_simple(
    "draft at a paste",
    "A draft appears in the box between the paste and Enter: Enter would send both as one prompt.",
    UNVERIFIED,
    draft_at_paste=" and delete the branch",
)
_simple(
    "paste burst",
    "Enter within 120 ms of a paste becomes a newline and starts the 120 ms anew: the line never leaves.",
    ACCEPTED,
    burst_ms=120,
)
_simple(
    "slow render",
    "The program draws what was typed a second later: who does not wait presses Enter blindly or gives up.",
    ACCEPTED,
    render_s=1.1,
)
_simple(
    "never rendered",
    "The program shows nothing of what was typed: Enter would be pressed into the unknown.",
    UNVERIFIED,
    render_s=None,
)
_simple(
    "swallowed Enter",
    "The program drops the first Enter: the line stays in the box although it was sent.",
    ACCEPTED,
    STRANDED,
    swallow=1,
)
_simple(
    "Enter always swallowed",
    "No Enter is taken: the line is stranded, and is to be reported so, with no keys to clean up.",
    STRANDED,
    swallow=99,
)
_simple(
    "approval dialog",
    "A dialog asks for approval: text and Enter would approve a command that nobody looked at.",
    NOT_TOUCHED,
    state="dialog",
)
_simple(
    "dialog at a paste",
    "A dialog opens between the paste and Enter: Enter would approve it.",
    UNVERIFIED,
    dialog_at_paste=True,
)
_simple(
    "busy turn",
    "The agent works; its box may look empty meanwhile, and the line would steer or end the turn.",
    NOT_TOUCHED,
    state="busy",
)
_simple(
    "idle flash",
    "Between two tool calls the program looks idle for 0.2 s: the line would land in the middle of its work.",
    NOT_TOUCHED,
    flash=True,
)
_simple(
    "pager",
    "A pager or an editor is open on the alternate screen: the text would be taken as its commands.",
    NOT_TOUCHED,
    state="pager",
)
_simple(
    "password prompt",
    "The terminal does not echo: the line would be taken as a password, and Enter would send it.",
    NOT_TOUCHED,
    state="secret",
)
_simple(
    "spinner while idle",
    "The program redraws for ever although it is idle: who waits for silence never wakes it.",
    ACCEPTED,
    spinner=True,
)
_simple(
    "no bracketed paste",
    "The program has not switched bracketed paste on: a paste comes as keys, or as an escape and garbage.",
    ACCEPTED,
    NOT_TOUCHED,
    bracketed=False,
)
_simple(
    "ends at a paste",
    "The program ends when the text arrives: nothing took it.",
    UNVERIFIED,
    GONE,
    exit_at="paste",
)
_simple(
    "ends at Enter",
    "The program ends as it takes the line: what was seen last proves nothing.",
    ACCEPTED,
    UNVERIFIED,
    GONE,
    exit_at="enter",
)


@trap("somebody's draft", "A human has half a prompt in the box: the line would be joined to it.")
def _draft(stage: Stage) -> None:
    stage.open(human=True)
    stage.type("half a thought")
    until(lambda: b"thought" in stage.truth.got(), "the human's keys", BRIEF_S)
    stage.expect(stage.hand(deadline_s=BRIEF_S), NOT_TOUCHED)
    stage.humans.append("half a thought, whole")
    stage.type(", whole\r")
    stage.honest()


@trap(
    "draft of several lines",
    "A human's draft has several lines: its last row alone may look like an empty box.",
)
def _long_draft(stage: Stage) -> None:
    stage.open(human=True)
    stage.type("\x1b[200~first line\nsecond line\n\x1b[201~")
    until(lambda: b"second" in stage.truth.got(), "the human's keys", BRIEF_S)
    stage.expect(stage.hand(deadline_s=BRIEF_S), NOT_TOUCHED)


@trap("human is typing", "A human types, one key after the other: nothing may come between his keys.")
def _typing(stage: Stage) -> None:
    stage.open(human=True)
    stage.type("d")
    handing = stage.handing(deadline_s=BRIEF_S, quiet_s=1.0)
    for key in "raft":
        until(lambda: stage.truth.got().endswith(stage.typed[-1]), "the human's key", BRIEF_S)
        stage.type(key)
    stage.expect(handing.result(), NOT_TOUCHED)


@trap(
    "human types meanwhile",
    "A human types a whole prompt while the line is in the box: both would become one.",
)
def _meanwhile(stage: Stage) -> None:
    stage.open(human=True, render_s=HELD_S, turn_s=0.1)
    handing = stage.handing()
    stage.until_touched()
    stage.says("mine")
    stage.expect(handing.result(), ACCEPTED)


@trap(
    "window resized meanwhile",
    "A human changes the window's size while the line is in the box: all is drawn anew.",
)
def _resized(stage: Stage) -> None:
    stage.open(human=True, render_s=HELD_S)
    handing = stage.handing()
    stage.until_touched()
    stage.session.resize(60, 20)
    stage.expect(handing.result(), ACCEPTED)


@trap("wrapped line", "In a window of 24 columns the line wraps: who compares rows never finds it.")
def _wrapped(stage: Stage) -> None:
    stage.open(cols=24, rows=16)
    stage.expect(stage.hand(), ACCEPTED)


@trap("program stopped", "The program was stopped (Ctrl-Z): keys would wait for it and come all at once.")
def _stopped(stage: Stage) -> None:
    stage.open(headless=True, from_shell=True)
    pid = stage.truth.pid()
    assert pid is not None  # noqa: S101  it is ready
    os.kill(pid, signal.SIGSTOP)
    try:
        stage.expect(stage.hand(deadline_s=BRIEF_S), NOT_TOUCHED, GONE)
    finally:
        os.kill(pid, signal.SIGCONT)
    stage.honest()


@trap("same key twice", "A worker dies and its wake is handed over again: the line is to be typed once.")
def _twice(stage: Stage) -> None:
    stage.open()
    stage.expect(stage.hand(key="wake"), ACCEPTED)
    stage.expect(stage.hand(key="wake"), ACCEPTED)
    stage.expect(stage.hand(key="wake", look_first=True, may_type=False), ACCEPTED)
    if stage.truth.got().count(TEXT.encode()) != 1:
        message = "the line was typed again under its key"
        raise Wrong(message)


@trap(
    "same key after a strand",
    "A line is stranded and its wake comes again: it may be sent, but never typed again.",
)
def _strand_twice(stage: Stage) -> None:
    stage.open(swallow=2)
    stage.expect(stage.hand(key="wake"), STRANDED)
    stage.expect(stage.hand(key="wake", look_first=True), ACCEPTED, STRANDED, UNVERIFIED)
    if stage.truth.got().count(TEXT.encode()) != 1:
        message = "the line was typed again under its key"
        raise Wrong(message)


@trap(
    "hand was lost",
    "Nobody knows what became of a hand, and the box is empty: the line may not be typed again.",
)
def _lost(stage: Stage) -> None:
    stage.open()
    stage.expect(stage.hand(look_first=True, may_type=False), ABSENT)


@trap(
    "text with controls",
    "ESC[201~, control letters or bidi marks in the text would end the paste or hide words.",
)
def _controls(stage: Stage) -> None:
    stage.open()
    for text in (
        "a\x1b[201~\rrm -rf /",
        "two\nlines",
        "a\x03b",
        "tab\there",
        "a\u202eb",
        "zero\u200bwidth",
        "\x9b201~",
    ):
        stage.expect(stage.hand(text, deadline_s=BRIEF_S), NOT_TOUCHED)
    stage.expect(stage.hand("- a *bullet* with `code`, $HOME and 100 %"), ACCEPTED)


@trap("text like an option", "The text begins with -c or --: it is data, never an option.")
def _option(stage: Stage) -> None:
    stage.open(turn_s=0.05)
    stage.expect(stage.hand("-c 'rm -rf /'"), ACCEPTED)
    stage.expect(stage.hand("--dangerously-skip-permissions"), ACCEPTED)


@trap(
    "kernel edits the line",
    "The program has no editor: the kernel gathers the line and echoes it.",
    look="line",
)
def _kernel(stage: Stage) -> None:
    stage.open(canonical=True, bracketed=False)
    stage.expect(stage.hand(), ACCEPTED, NOT_TOUCHED)


@trap(
    "copy mode",
    "A human scrolls back in tmux: keys are taken as commands of copy mode, and text is lost.",
    only="tmux",
)
def _copy_mode(stage: Stage) -> None:
    stage.open()
    stage.session.act("copy-mode")
    stage.expect(stage.hand(deadline_s=BRIEF_S), NOT_TOUCHED)


@trap(
    "shell where the agent was",
    "The agent has ended and its shell has the pane: the line would be run as a command.",
    only="tmux",
)
def _shell(stage: Stage) -> None:
    stage.open(from_shell=True)
    pid = stage.truth.pid()
    assert pid is not None  # noqa: S101  it is ready
    os.kill(pid, signal.SIGKILL)
    until(lambda: stage.truth.events("prompting"), "the shell's prompt", BRIEF_S)
    stage.expect(stage.hand(deadline_s=BRIEF_S), *LEFT)


@trap(
    "pane with another program",
    "The pane was given to another program under the same number: it would get somebody else's line.",
    only="tmux",
)
def _reused(stage: Stage) -> None:
    stage.open()
    stage.session.act("respawn-pane", "-k", then=stage.fake(as_shell=True))
    until(lambda: len(stage.truth.events("ready")) > 1, "the other program", BRIEF_S)
    stage.expect(stage.hand(deadline_s=BRIEF_S), *LEFT)
