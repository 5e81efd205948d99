"""The traps of starting an agent program: it gets its prompt on stdin, says which session it is, and ends."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final

from bridge.conformance.started import NATIVE_ID, REST_S, TOKEN, Bench
from bridge.conformance.traps import Kind, NotHere, Trap, Wrong
from bridge.conformance.truth import until
from bridge.core.errors import BridgeError

START_TRAPS: Final[list[Trap]] = []
WRONG_ID: Final = "01a20235-581c-7000-8000-0000000000ff"
BRIEF_S: Final = 1.5
READY_S: Final = 5.0

_Play = Callable[[Bench], None]


def _trap(name: str, what: str) -> Callable[[_Play], _Play]:
    def take(play: _Play) -> _Play:
        START_TRAPS.append(Trap(name, what, Kind.START, play))
        return play

    return take


def _must(condition: object, what: str) -> None:
    if not condition:
        raise Wrong(what)


def _ran(bench: Bench, *, proved: bool, result: str, **how: Any) -> dict[str, Any]:  # noqa: ANN401  fields and oddities
    """Start it, wait for its end, and compare what was told with what is right."""
    prompt = str(how.get("prompt", "you have unread messages"))
    bench.start(**how)
    facts = bench.ended()
    said = bench.proved()
    _must(said == NATIVE_ID or not proved, f"the session was not proved ({facts['result']}: {facts['why']})")
    _must(said is None or proved, f"it was taken for the session {said}, which nothing had proved")
    _must(facts["result"] == result, f"ended as {facts['result']} ({facts['why']}); {result} is right here")
    reads = bench.truth.events("read")
    if reads:
        whole = hashlib.sha256(prompt.encode()).hexdigest()
        _must(reads[0]["sha256"] == whole, f"the prompt came garbled: {reads[0]['size']} bytes")
    return facts


def _needs_identity(bench: Bench) -> None:
    if bench.command.identity is None:
        message = "the preset has no [command.identity]: its first line of output is taken for the proof"
        raise NotHere(message)


@_trap(
    "right session",
    "The program reads its prompt to the end, says which session it is, and ends: all is well.",
)
def _right(bench: Bench) -> None:
    _ran(bench, proved=True, result="exited", noise=bench.command.identity is not None)
    _must(bench.truth.events("read"), "the prompt never came")


@_trap(
    "wrong session id",
    "The program starts another session than was asked for and ends with 0: nobody was woken.",
)
def _wrong(bench: Bench) -> None:
    _needs_identity(bench)
    if "resume" not in bench.command.argv and bench.command.native == "told":
        message = "a new session may call itself what it likes"
        raise NotHere(message)
    bench.start(**{"as": WRONG_ID})
    facts = bench.ended()
    _must(bench.proved() is None, "another session was taken for the right one")
    _must(facts["result"] != "exited", "the end with 0 of another session was taken for a success")


@_trap("no identity line", "The program says nothing of its session: that it ended with 0 proves nothing.")
def _nothing_said(bench: Bench) -> None:
    _ran(bench, proved=False, result="exited", silent=True, noise=bench.command.identity is not None)


@_trap(
    "late identity",
    "The program writes two MiB before it says which session it is: reading on would never end.",
)
def _late(bench: Bench) -> None:
    _needs_identity(bench)
    _ran(bench, proved=False, result="exited", lines_mib=2)


@_trap("huge line", "The program writes a line of many MiB: kept whole, it would fill the memory.")
def _huge(bench: Bench) -> None:
    _needs_identity(bench)
    _ran(bench, proved=False, result="exited", line_mib=8)


@_trap("no newline", "The program ends without a newline behind its only line.")
def _no_newline(bench: Bench) -> None:
    _ran(bench, proved=True, result="exited", no_newline=True)


@_trap("hang on stdin", "The program reads stdin until its end: an open pipe would hang it for ever.")
def _stdin(bench: Bench) -> None:
    _ran(bench, proved=True, result="exited", prompt="x" * 60_000)
    _must(bench.truth.events("read"), "stdin never ended")


@_trap("never reads", "The program never reads its 64 KiB prompt: whoever writes it may not block.")
def _never_reads(bench: Bench) -> None:
    _ran(bench, proved=True, result="exited", prompt="x" * 65_536, never_reads=True)


@_trap(
    "no exit", "The program is done and does not end: it is ended when its time is over, with all it started."
)
def _no_exit(bench: Bench) -> None:
    _ran(bench, proved=True, result="killed", stays=True, kill_after_s=BRIEF_S)


@_trap("deaf to TERM", "The program ignores TERM: it is killed when the grace is over.")
def _deaf(bench: Bench) -> None:
    _ran(bench, proved=True, result="killed", stays=True, ignores_term=True, kill_after_s=BRIEF_S)


@_trap(
    "daemon", "The program leaves a daemon, twice forked and deaf to TERM: it would live on after the run."
)
def _daemon(bench: Bench) -> None:
    _ran(bench, proved=True, result="exited", daemon=True)


@_trap("ends at once", "The program ends with 0 before it has done anything: that is no success.")
def _at_once(bench: Bench) -> None:
    _ran(bench, proved=False, result="exited", silent=True, never_reads=True)


@_trap("ends with a status", "The program fails: its status is to be told.")
def _status(bench: Bench) -> None:
    facts = _ran(bench, proved=False, result="crashed", silent=True, status=42)
    _must(facts["status"] == 42, f"status 42 was told as {facts['status']}")  # noqa: PLR2004  the status above


@_trap("prompt like an option", "The prompt begins with -c or --: it is data, and never stands in argv.")
def _options(bench: Bench) -> None:
    prompt = "-c 'sandbox_mode=\"danger-full-access\"'\n--dangerously-skip-permissions\n\x1b[201~\u202e\x03\n- *list*\n"
    _ran(bench, proved=True, result="exited", prompt=prompt)
    _must(bench.truth.events("read"), "the prompt never came")
    argv = bench.truth.events("ready")[0]["argv"]
    _must(not any("sandbox_mode" in argument for argument in argv), "the prompt stood in argv")


@_trap(
    "token in the open", "A token in argv or in the environment is read by everybody who can list processes."
)
def _token(bench: Bench) -> None:
    _ran(bench, proved=True, result="exited")
    seen = bench.truth.events("ready")[0]
    words = [*seen["argv"], *seen["environment"].values()]
    _must(not any(TOKEN in word for word in words), "the token stood in argv or in the environment")


@_trap(
    "session id like an option", "A session's id that begins with - would become an option of the program."
)
def _id_option(bench: Bench) -> None:
    try:
        bench.start(id_argument="{native_id}", native_id="--last")
    except BridgeError:
        _must(not bench.truth.events("ready"), "it was refused and started all the same")
        return
    _must(condition=False, what="an id that is an option was passed on")


@_trap(
    "id of another form",
    "An id that is not the program's form makes some programs start a new session silently.",
)
def _id_form(bench: Bench) -> None:
    if getattr(bench.command, "native_form", None) is None:
        message = "the preset does not say what its ids look like (native_form)"
        raise NotHere(message)
    try:
        bench.start(native_id="not one of its ids")
    except BridgeError:
        _must(not bench.truth.events("ready"), "it was refused and started all the same")
        return
    _must(condition=False, what="an id that is not of the program's form was passed on")


@_trap(
    "nothing left", "An end is told once, and when nothing lives any more: a late child would work on unseen."
)
def _left(bench: Bench) -> None:
    bench.start(stays=True, daemon=True, ignores_term=True)
    until(lambda: bench.truth.events("daemon"), "the daemon", READY_S)
    bench.adapter.book.end(bench.run_id, "the trap asked", REST_S)
    facts = bench.ended()
    _must(facts["result"] == "killed", f"ended as {facts['result']}; killed is right here")
    ends = [one for one in bench.adapter.notes.told if one[:2] == (bench.run_id, "ended")]
    _must(len(ends) == 1, f"the end was told {len(ends)} times")
