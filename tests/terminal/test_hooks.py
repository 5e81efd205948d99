"""What hooks tell: the built-in preset's own commands, run as its program runs them, against a real pipe."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.adapters.presets import load_preset
from bridge.terminal.hooks import STALE_S, Hooks
from bridge.terminal.live import Live
from bridge.terminal.verdict import Seen, Verdict

NATIVE = "5738b1df-a23c-4ecb-b624-8dc95e02976d"
LINE = "Wakebridge: 1 new message in 1 thread. Read with: bridge inbox"
EMPTY = Verdict(Seen.EMPTY)


def live() -> Live:
    data = load_preset("claude").live
    assert data is not None
    return Live(**data.arguments())


@pytest.fixture(name="hooks")
def _hooks(tmp_path: Path) -> Iterator[Hooks]:
    hooks = Hooks(tmp_path / "agent-1.hooks", live())
    yield hooks
    hooks.close()


def event(name: str, **more: object) -> str:
    told = {
        "session_id": NATIVE,
        "transcript_path": "/home/x/a.jsonl",
        "cwd": "/home/x/work",
        "prompt_id": "e7836f82",
        "permission_mode": "default",
        "hook_event_name": name,
        **more,
    }
    return json.dumps(told, separators=(",", ":"))


def fire(told: str, pipe: Path | None) -> int:
    name = json.loads(told)["hook_event_name"]
    command = json.loads(live().hook_settings)["hooks"][name][0]["hooks"][0]["command"]
    environment = {"PATH": os.defpath} | ({"BRIDGE_HOOKS": str(pipe)} if pipe else {})
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        input=told.encode(),
        env=environment,
        timeout=20,
        check=False,
        capture_output=True,
    )
    assert (done.stdout, done.stderr) == (b"", b"")  # what a hook says would be part of the conversation
    return done.returncode


def test_a_prompt_is_seen_taken_and_who_took_it(hooks: Hooks) -> None:
    before = hooks.can_show
    assert fire(event("UserPromptSubmit", prompt=LINE), hooks.path) == 0
    assert LINE in hooks.read(1.0)
    assert hooks.native_id == NATIVE
    assert (before, hooks.can_show) == (False, True)
    assert hooks.over(EMPTY, 0.0, 1.0).seen is Seen.BUSY


def test_a_prompt_with_signs_and_lines_is_itself(hooks: Hooks) -> None:
    prompt = f'say "{LINE}"\n{LINE}\nä \\ end'
    fire(event("UserPromptSubmit", prompt=prompt), hooks.path)
    found = hooks.read(1.0)
    assert found[0] == prompt
    assert LINE in found


def test_a_message_that_quotes_a_prompt_is_none(hooks: Hooks) -> None:
    quoted = event("UserPromptSubmit", prompt=LINE)
    fire(event("Notification", message=quoted, notification_type="other"), hooks.path)
    assert hooks.read(1.0) == []
    assert hooks.over(EMPTY, 0.0, 1.0).seen is Seen.EMPTY


def test_a_long_prompt_comes_cut_and_the_next_line_is_whole(hooks: Hooks) -> None:
    fire(event("UserPromptSubmit", prompt="long " * 20_000), hooks.path)
    fire(event("UserPromptSubmit", prompt=LINE), hooks.path)
    assert hooks.read(1.0) == [LINE]


def test_blocked_is_a_dialog_and_the_end_of_the_turn_ends_it(hooks: Hooks) -> None:
    fire(event("UserPromptSubmit", prompt="do it"), hooks.path)
    fire(event("PermissionRequest", tool_name="Bash"), hooks.path)
    hooks.read(1.0)
    assert hooks.over(EMPTY, 0.0, 1.0).seen is Seen.DIALOG
    fire(event("Stop"), hooks.path)
    hooks.read(2.0)
    assert hooks.over(EMPTY, 0.0, 2.0).seen is Seen.EMPTY


def test_a_question_is_heeded_while_our_text_is_in_the_box_and_before_it_is_drawn(hooks: Hooks) -> None:
    ours = Verdict(Seen.DRAFT, LINE, LINE)
    fire(event("UserPromptSubmit", prompt="hello"), hooks.path)
    hooks.read(1.0)
    assert hooks.over(ours, 0.0, 1.0, ours=True) is ours, "only the screen tells how our text does"
    fire(event("PermissionRequest", tool_name="Bash"), hooks.path)
    hooks.read(2.0)
    assert hooks.over(ours, 0.0, 2.0, ours=True) == Verdict(Seen.DIALOG, covered=True)


def test_a_turn_that_was_interrupted_is_not_believed_for_ever(hooks: Hooks) -> None:
    fire(event("UserPromptSubmit", prompt="do it"), hooks.path)
    hooks.read(1.0)
    assert hooks.over(EMPTY, STALE_S - 1, 20.0).seen is Seen.BUSY
    assert hooks.over(EMPTY, STALE_S, 1.0 + STALE_S - 1).seen is Seen.BUSY
    assert hooks.over(Verdict(Seen.BUSY), 100.0, 100.0).seen is Seen.BUSY
    assert hooks.over(EMPTY, STALE_S, 100.0).seen is Seen.EMPTY


def test_without_a_pipe_nothing_happens_and_nothing_is_made(tmp_path: Path, hooks: Hooks) -> None:
    nowhere = tmp_path / "nowhere"
    assert fire(event("Stop"), None) == 0
    assert fire(event("Stop"), nowhere) == 0
    assert not nowhere.exists()
    path = hooks.path
    assert path.stat().st_mode & 0o777 == 0o600


def test_nobody_waits_for_a_reader(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    assert fire(event("Stop"), pipe) == 0
