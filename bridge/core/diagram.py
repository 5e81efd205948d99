"""The transition tables as pages to read: drawn from the tables themselves, so that they cannot drift.

For each aggregate a mermaid diagram and the full state x event table. `make docs` writes them to `docs/states/`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any

from bridge.core import run, session, thread, wake
from bridge.core.states import WAKE_FINAL, RunState, SessionStatus, ThreadStatus, WakeState

WAKE_MARKS = {
    wake.Verdict.IGNORED: ("-", "ignored on purpose: nothing changes"),
    wake.Verdict.LATE: (
        "late",
        "a hand that no longer holds the wake: refused by its fence, nothing changes",
    ),
    wake.Verdict.ILLEGAL: ("illegal", "raises, nothing changes"),
}


def pages() -> dict[str, str]:
    """Every page: the aggregate's name, and its text."""
    return {"wake": wake_table(), "thread": thread_table(), "session": session_table(), "run": run_table()}


def wake_table() -> str:
    """The wake: diagram, what each mark means, the whole table, and what each rule does."""
    parts = ["# The wake", _opening(wake.__doc__), _wake_diagram()]
    parts.append("\n".join(f"- `{mark}`: {meaning}" for mark, meaning in WAKE_MARKS.values()))
    finals = ", ".join(state.value for state in WakeState if state in WAKE_FINAL)
    parts.append(
        f"In a cell: the rule, and every state it can lead to. The final states ({finals}) have the same row."
    )
    shown = [state for state in WakeState if state not in WAKE_FINAL] + [WakeState.ACKED]
    parts.append(_grid([_wake_row(state) for state in shown], [event.__name__ for event in wake.EVENTS]))
    parts.append("## The events\n\n" + _list((event.__name__, event) for event in wake.EVENTS))
    rules = {
        cell.rule.__name__: cell.rule for cell in wake.TRANSITIONS.values() if isinstance(cell, wake.Handled)
    }
    parts.append("## The rules\n\n" + _list(rules.items()))
    return "\n\n".join(parts) + "\n"


def thread_table() -> str:
    """The thread: which status follows which on request, and the rule for each pair."""
    edges = [
        f"    {old} --> {new}: status asked"
        for old in ThreadStatus
        for new in sorted(thread.LEGAL_STATUS[old])
    ]
    edges += ["    active --> blocked: a post that goes in circles", "    resolved --> active: a post"]
    table = _table_of(thread.TRANSITIONS, ThreadStatus, thread.EVENTS)
    diagram = _mermaid(["    [*] --> active", *edges, "    closed --> [*]"])
    events = "## The events\n\n" + _list((event.__name__, event) for event in thread.EVENTS)
    return "\n\n".join(["# The thread", _opening(thread.__doc__), diagram, table, events]) + "\n"


def session_table() -> str:
    """The session: any status takes any event; what makes it live is the attachment alone."""
    table = _table_of(session.TRANSITIONS, SessionStatus, session.EVENTS)
    edges = [
        f"    {old} --> {new}: heartbeat" for old in SessionStatus for new in SessionStatus if old is not new
    ]
    edges += ["    offline --> idle: attached"]
    edges += [f"    {old} --> offline: detached" for old in SessionStatus if old is not SessionStatus.OFFLINE]
    events = "## The events\n\n" + _list((event.__name__, event) for event in session.EVENTS)
    parts = [
        "# The session",
        _opening(session.__doc__),
        _mermaid(["    [*] --> offline", *edges]),
        table,
        events,
    ]
    return "\n\n".join(parts) + "\n"


def run_table() -> str:
    """The run: how a process that was started comes to its end, and that nothing follows after that."""
    edges = [
        "    [*] --> starting: an attempt begins",
        "    starting --> running: started",
        "    starting --> ending: end asked",
        "    running --> ending: end asked",
        *(
            f"    {state} --> ended: no process of it lives"
            for state in RunState
            if state is not RunState.ENDED
        ),
        "    ended --> [*]",
    ]
    table = _table_of(run.TRANSITIONS, RunState, run.EVENTS)
    events = "## The events\n\n" + _list((event.__name__, event) for event in run.EVENTS)
    return "\n\n".join(["# The run", _opening(run.__doc__), _mermaid(edges), table, events]) + "\n"


def _wake_diagram() -> str:
    by_edge: dict[tuple[WakeState, WakeState], list[str]] = {}
    for (state, event), cell in wake.TRANSITIONS.items():
        for to in sorted(cell.to) if isinstance(cell, wake.Handled) else ():
            if to is not state:
                by_edge.setdefault((state, to), []).append(event.__name__)
    lines = ["    [*] --> pending: a message, a trigger, an unblock"]
    lines += [f"    {old} --> {new}: {', '.join(names)}" for (old, new), names in by_edge.items()]
    lines += [f"    {state} --> [*]" for state in WakeState if state in WAKE_FINAL]
    return _mermaid(lines)


def _wake_row(state: WakeState) -> list[str]:
    name = f"`{state}`" if state not in WAKE_FINAL else "final"
    return [name, *(_wake_cell(wake.TRANSITIONS[state, event]) for event in wake.EVENTS)]


def _wake_cell(cell: wake.Cell) -> str:
    if isinstance(cell, wake.Verdict):
        return WAKE_MARKS[cell][0]
    return f"**{cell.rule.__name__}** → " + ", ".join(state for state in WakeState if state in cell.to)


def _table_of(
    table: Mapping[tuple[Any, type[Any]], Callable[..., Any]],
    states: Iterable[StrEnum],
    events: tuple[type[Any], ...],
) -> str:
    rows = [
        [f"`{state}`", *(table[state, event].__name__.removeprefix("_") for event in events)]
        for state in states
    ]
    return _grid(rows, [event.__name__ for event in events])


def _grid(rows: list[list[str]], names: list[str]) -> str:
    """States across, events down: names are long, states are few."""
    head = ["event", *(row[0] for row in rows)]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for index, name in enumerate(names, start=1):
        lines.append(f"| `{name}` | " + " | ".join(row[index] for row in rows) + " |")
    return "\n".join(lines)


def _mermaid(lines: list[str]) -> str:
    return "\n".join(["```mermaid", "stateDiagram-v2", *lines, "```"])


def _list(items: Iterable[tuple[str, Any]]) -> str:
    return "\n".join(f"- `{name}`: {_opening(value.__doc__)}" for name, value in items)


def _opening(doc: str | None) -> str:
    return " ".join((doc or "").strip().split("\n\n")[0].split())
