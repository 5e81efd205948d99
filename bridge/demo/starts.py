"""What the bridge starts: how it is told to, and its runs as the API and /proc show them.

Rules of this file:

- A preset stands where its host looks for it, and nobody else may write it. What it starts stays in a folder of the
  play, so that nothing of it can be overlooked.
- That a run left nothing behind is seen in /proc, not taken from the bridge's own word.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bridge.demo.ledger import Ledger
from bridge.demo.processes import MARK, of_run
from bridge.demo.stage import PAGE, Stage, Story
from bridge.demo.watch import Scene

PROGRAM = "bridge.demo.started"
DESK = "desk"
RUNG_S_MAX = 25.0
OVER_S_MAX = 12.0
LEFT_S_MAX = 3.0
FOLLOW_EVERY_S = 0.03
RECEIPTS = ("stored", "offered", "accepted", "read", "answered")

Run = dict[str, Any]


def write_presets(data: Path, folder: Path) -> None:
    """Say on the host of the stack in `data` how agents are started; what they write goes to `folder`."""
    desk, presets = folder / DESK, data / "presets"
    desk.mkdir(mode=0o700)
    presets.mkdir(mode=0o700)
    for name, rungs in programs(folder).items():
        path = presets / f"{name}.toml"
        path.write_text(preset(name, ledger_file(folder, name), desk, **rungs))
        path.chmod(0o600)


def programs(folder: Path) -> dict[str, dict[str, list[str]]]:
    """Who is started on which rungs, with which options."""
    return {
        "executor": {"resume": []},
        "builder": {"resume": ["troubles=crash,hang"], "spawn": []},
        "sleeper": {"spawn": [f"needs={needed(folder)}"]},
    }


def needed(folder: Path) -> Path:
    """The file without which sleeper's program fails."""
    return folder / "sleeper.settings"


def preset(name: str, ledger: Path, desk: Path, **rungs: Sequence[str]) -> str:
    """A preset as it stands in its file. JSON's strings and lists are TOML's too."""
    lines = [f'name = "{name}"', "", "[command]"]
    for rung, options in rungs.items():
        argv = ["{python}", "-m", PROGRAM, name, str(ledger), rung, "{native_id}", *options]
        lines.append(f"{rung} = {json.dumps(argv)}")
    lines += [f"cwd = {json.dumps(str(desk))}", f'environment = ["PATH", "{MARK}"]', "", _IDENTITY, _SCREEN]
    return "\n".join(lines)


_IDENTITY = """[command.identity]
match = "json"
event = { type = "session" }
field = "session_id"
"""
_SCREEN = """[screen]
prompt = '> ?'
questions = []
working = []
working_rows = 6
paste_required = false
alternate = false
"""
"""How the agents of the cast look at a terminal."""


def ledger_file(folder: Path, name: str) -> Path:
    """Where an agent that the bridge starts writes down what it does."""
    return folder / f"{name}.started"


def started(stage: Stage, name: str) -> Ledger:
    """What an agent that the bridge started did."""
    return Ledger(ledger_file(stage.folder, name))


def bind(stage: Stage, name: str) -> None:
    """An operator says by which preset an agent is started, and where."""
    stage.operator.call("PUT", f"/v1/agents/{name}", json={"preset": name, "host": "local"})


def runs(stage: Stage, **filters: str) -> list[Run]:
    """The runs of a wake or an agent, the oldest first."""
    found: list[Run] = stage.operator.runs(**filters, limit=PAGE)["items"]
    return found[::-1]


def nth_run(scene: Scene, stage: Stage, wake_id: str, number: int) -> Run:
    """Wait until the wake's nth process was started."""

    def begun() -> Run | None:
        found = runs(stage, wake=wake_id)
        return found[number - 1] if len(found) >= number and found[number - 1]["pid"] else None

    return scene.until(f"process {number} is started", begun, RUNG_S_MAX, stage.seen(wake_id), FOLLOW_EVERY_S)


def over(scene: Scene, stage: Stage, run: Run) -> Run:
    """Wait until the run has ended, and see that it left nothing behind; how it ended."""

    def ended() -> Run | None:
        now = stage.operator.run(run["run_id"])
        return now if now["state"] == "ended" else None

    def seen() -> str:
        return describe(stage.operator.run(run["run_id"]))

    who = run["agent_id"]
    now = scene.until(f"{who}'s run ends", ended, OVER_S_MAX, seen, FOLLOW_EVERY_S)
    scene.until(
        f"no process of {who}'s run is left",
        lambda: not of_run(run["run_id"]),
        LEFT_S_MAX,
        lambda: of_run(run["run_id"]),
    )
    return now


def describe(run: Run) -> str:
    """A run in a few words."""
    if run["state"] != "ended":
        return f"{run['rung']}, slot {run['slot']}, pid {run['pid']}: {run['state']}"
    status = "" if run["exit_status"] is None else f", status {run['exit_status']}"
    return f"{run['rung']}, slot {run['slot']}, pid {run['pid']}: {run['result']}{status}, {run['running_s']:.1f} s"


def in_use(stage: Stage) -> list[str]:
    """The slots that are held, in words."""
    return [
        f"slot {run['slot']}: {run['agent_id']}"
        for run in runs(stage, host="local")
        if run["state"] != "ended"
    ]


def follow(scene: Scene, stage: Stage, thread: str, seq: int, who: str) -> list[str]:
    """Tell each receipt of ci's message to `who` as it comes, until the message is answered; the receipts seen."""
    seen: list[str] = []

    def answered() -> bool:
        item = receipt(stage, thread, seq, who)
        if item["receipt"] not in seen:
            news = ", ".join(since(seen, item["receipt"]))
            seen.append(item["receipt"])
            scene.tell("ci", f"its message's receipt: {news}", _PROOFS.get(item["receipt"], str(item["why"])))
        return seen[-1] == RECEIPTS[-1]

    scene.until(f"{who} answers", answered, RUNG_S_MAX, lambda: seen, FOLLOW_EVERY_S)
    scene.expect("each receipt goes further than the one before", in_order(seen), seen)
    return seen


def since(seen: Sequence[str], now: str) -> list[str]:
    """The receipts that came with this one: further than the last one seen, up to it."""
    if now not in RECEIPTS:
        return [now]
    first = max((RECEIPTS.index(one) + 1 for one in seen if one in RECEIPTS), default=0)
    return [*RECEIPTS[first : RECEIPTS.index(now)], now]


def receipt(stage: Stage, thread: str, seq: int, who: str) -> dict[str, Any]:
    """How far ci's message to `who` came, and why no further."""
    items: list[dict[str, Any]] = stage.ci.receipts(thread, seq)["items"]
    return next(item for item in items if item["agent_id"] == who)


def in_order(receipts: Sequence[str]) -> bool:
    """Whether they only went forward, and ended with the last one; a quick one may not have been seen."""
    return [one for one in RECEIPTS if one in receipts] == [*receipts] and [*receipts][-1:] == [RECEIPTS[-1]]


_PROOFS = {
    "stored": "committed, with its wake",
    "offered": "a process was started for it",
    "accepted": "the process said whose session it is",
    "read": "the cursor is there: nothing else ends a wake well",
    "answered": "a message in reply to it",
}


def rungs(story: Story) -> list[str]:
    """The rungs that a wake was tried on, in order."""
    return [str(attempt["rung"]) for attempt in story["attempts"]]


def hear(scene: Scene, stage: Stage, thread: str, who: str, since: int) -> dict[str, Any]:
    """Wait until ci finds that `who` has said something after `since`; ci has read it then."""

    def said() -> dict[str, Any] | None:
        messages = stage.ci.read(thread, since_seq=since)["items"]
        return next((message for message in messages if message["sender_agent_id"] == who), None)

    message = scene.until(f"ci hears from {who}", said, OVER_S_MAX)
    stage.ci.move_cursor(thread, message["seq"])
    return message
