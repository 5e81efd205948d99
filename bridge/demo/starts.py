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

from bridge.demo.processes import MARK, of_run
from bridge.demo.stage import PAGE, Stage, Story
from bridge.demo.watch import Scene

PROGRAM = "bridge.demo.started"
RUNG_S_MAX = 25.0
OVER_S_MAX = 12.0
LEFT_S_MAX = 3.0
FOLLOW_EVERY_S = 0.03
RECEIPTS = ("stored", "offered", "accepted", "read", "answered")

Run = dict[str, Any]


def write_preset(stage: Stage, name: str, **rungs: Sequence[str]) -> Path:
    """Say on the host how `name` is started on these rungs, with these options; the file."""
    desk = stage.folder / "desk"
    desk.mkdir(mode=0o700, exist_ok=True)
    folder = stage.stack.data / "presets"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{name}.toml"
    path.write_text(preset(name, stage.started_file(name), desk, **rungs))
    path.chmod(0o600)
    return path


def preset(name: str, ledger: Path, desk: Path, **rungs: Sequence[str]) -> str:
    """A preset as it stands in its file. JSON's strings and lists are TOML's too."""
    lines = [f'name = "{name}"', "", "[command]"]
    for rung, options in rungs.items():
        argv = ["{python}", "-m", PROGRAM, name, str(ledger), rung, "{native_id}", *options]
        lines.append(f"{rung} = {json.dumps(argv)}")
    lines += [
        f"cwd = {json.dumps(str(desk))}",
        f'environment = ["PATH", "{MARK}"]',
        "",
        "[command.identity]",
        'match = "json"',
        'event = { type = "session" }',
        'field = "session_id"',
    ]
    return "\n".join(lines) + "\n"


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
            seen.append(item["receipt"])
            scene.tell("ci", f"its message's receipt: {item['receipt']}", _proof(item))
        return seen[-1] == RECEIPTS[-1]

    scene.until(f"{who} answers", answered, RUNG_S_MAX, lambda: seen, FOLLOW_EVERY_S)
    scene.expect("each receipt goes further than the one before", in_order(seen), seen)
    return seen


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


def _proof(item: dict[str, Any]) -> str:
    return f"{_PROOFS.get(item['receipt'], '')}{item['why'] if item['receipt'] == 'failed' else ''}"


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
