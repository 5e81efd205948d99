"""What a program says of its own failure: what of it counts, and what is only shown."""

import json
from pathlib import Path
from typing import Any

import pytest

from bridge.adapters.presets import load_preset
from bridge.adapters.presets.command import CommandData, PresetError
from bridge.adapters.runtimes.run_ending import WORDS_MAX, found_by, trouble_in
from bridge.core.errors import InvalidArgument
from bridge.core.states import Rung, SessionFound
from tests.runs.world import World, toml

UUID = "01a20235-581c-7a44-8a1f-d4d693f5378b"
IDENTITY = {"match": "json", "event": {"type": "begun"}, "field": "id"}
SAYS_WHO = f'echo \'{{"type": "begun", "id": "{UUID}"}}\''

TROUBLE = """
[[command.troubles]]
event = { type = "over" }
field = "denied"
says = "it was not allowed"
"""


def preset(world: World, script: str, **more: Any) -> None:  # noqa: ANN401  fields by name
    argv = ["sh", "-c", script, "{native_id}"]
    command = {"resume": argv, "spawn": argv, "native_form": "[0-9a-f-]{36}", "identity": IDENTITY, **more}
    (world.settings.presets_dir / "shell.toml").write_text(toml({"name": "shell", "command": command}))


def facts_of_end(world: World, **fields: Any) -> dict[str, Any]:  # noqa: ANN401  fields by name
    spec = world.spec(preset="shell", rung=Rung.RESUME, **{"native_id": UUID, **fields})
    world.book.start(spec)
    return world.told(spec, "ended")


@pytest.mark.parametrize(
    ("said", "found"), [("no such session", SessionFound.GONE), ("it is open", SessionFound.ELSEWHERE)]
)
def test_why_it_cannot_go_on_is_told(world: World, said: str, found: SessionFound) -> None:
    refusals = {"gone": ["no such session"], "elsewhere": ["is open"]}
    preset(world, f"echo 'Error: {said} here' >&2; exit 1", refusals=refusals)
    facts = facts_of_end(world)
    assert facts["found"] is found
    assert facts["why"].endswith(f"Error: {said} here")
    assert "it ended with status 1" in facts["why"]


def test_who_has_shown_whose_session_it_is_refuses_nothing_any_more(world: World) -> None:
    preset(
        world, f"{SAYS_WHO}; echo 'a message says: no such session'; exit 1", refusals={"gone": ["no such"]}
    )
    facts = facts_of_end(world)
    assert (facts["result"], facts["why"]) == ("crashed", "it ended with status 1")
    assert "found" not in facts


def test_a_failure_that_the_status_hides_is_shown(world: World) -> None:
    fields = json.dumps({"type": "over", "denied": [{"tool": "Bash"}]})
    preset(world, f"{SAYS_WHO}; echo '{fields}'")
    path = world.settings.presets_dir / "shell.toml"
    path.write_text(path.read_text() + TROUBLE)
    facts = facts_of_end(world)
    assert (facts["status"], facts["result"]) == (0, "exited")
    assert facts["why"] == 'it ended by itself; it was not allowed: [{"tool": "Bash"}]'


@pytest.mark.parametrize("native_id", ["latest", "--last", UUID.upper(), f"{UUID} "])
def test_what_is_no_name_of_a_session_starts_nothing(world: World, native_id: str) -> None:
    preset(world, SAYS_WHO)
    with pytest.raises(InvalidArgument, match="no name of a session of shell"):
        world.book.start(world.spec(preset="shell", rung=Rung.RESUME, native_id=native_id))
    assert world.book.held() == set()


def test_a_told_name_of_another_form_proves_nothing(world: World) -> None:
    preset(world, 'echo \'{"type": "begun", "id": "--last"}\'', native="told")
    spec = world.spec(preset="shell", rung=Rung.SPAWN, native_id=UUID)
    world.book.start(spec)
    assert world.ended(spec)[2] == "did not say which session it is"
    assert world.recorder.of(spec.run_id) == ["started", "ended"]


# --- the built-in presets, and what their programs wrote when they were tried -----------------------------

SEEN = {
    ("codex", SessionFound.GONE): (
        "Error: thread/resume: thread/resume failed: no rollout found for thread id "
        "18cf8129-7088-4028-8a1f-d4d693f5378b (code -32600)"
    ),
    ("codex", SessionFound.ELSEWHERE): (
        "Error: thread/resume: thread 01a20235-581c-7a44-8a1f-d4d693f5378b already has an active writer (code -32600)"
    ),
    ("claude", SessionFound.GONE): (
        '{"type":"result","subtype":"error_during_execution","is_error":true,"session_id":"62fb","errors":'
        '["No conversation found with session ID: 62fb"]}\nNo conversation found with session ID: 62fb'
    ),
    ("gemini", SessionFound.GONE): (
        'Error resuming session: Invalid session identifier "834214a4-937f-45a1-8833-587b914cdf83".\n'
        "  Searched for sessions in /home/x/.gemini/tmp/work/chats."
    ),
}


def built_in(name: str) -> CommandData:
    command = load_preset(name).command
    assert command is not None
    return command


@pytest.mark.parametrize(("name", "found"), SEEN)
def test_the_built_in_presets_know_what_their_programs_say(
    tmp_path: Path, name: str, found: SessionFound
) -> None:
    output = tmp_path / "output.log"
    output.write_text(SEEN[name, found])
    told, words = found_by(built_in(name), output)
    assert told is found
    assert not words.partition(": ")[2].startswith("{")
    output.write_text("an error of another kind\n")
    assert found_by(built_in(name), output) == (None, "")


@pytest.mark.parametrize(
    ("name", "line", "words"),
    [
        (
            "codex",
            {"type": "turn.failed", "error": {"message": "busy"}},
            'its turn failed: {"message": "busy"}',
        ),
        ("claude", {"type": "result", "is_error": True, "result": "API Error"}, "its turn failed: API Error"),
        ("claude", {"type": "result", "is_error": False, "permission_denials": [], "result": "ok"}, ""),
        (
            "gemini",
            {"type": "result", "status": "error", "error": "x\n\x1b[2J" * 200},
            "its turn failed: x [2Jx",
        ),
        ("gemini", {"type": "result", "status": "success"}, ""),
    ],
)
def test_the_built_in_presets_show_what_went_wrong_in_a_turn(
    tmp_path: Path, name: str, line: dict[str, Any], words: str
) -> None:
    output = tmp_path / "output.log"
    output.write_text(f"not json\n{{broken\n[1]\n{json.dumps(line)}\n")
    told = trouble_in(built_in(name), output)
    assert told.startswith(words)
    assert bool(told) == bool(words)
    assert len(told) <= WORDS_MAX + len("its turn failed: ")
    assert told.isprintable()


@pytest.mark.parametrize("name", ["codex", "claude", "gemini"])
def test_the_built_in_presets_name_sessions_by_uuid_and_no_secret_stands_in_an_argument(name: str) -> None:
    command = built_in(name)
    assert command.names_session(UUID)
    assert not any(
        command.names_session(other) for other in ("latest", "1", "ses_1", f"-{UUID}", f"{UUID}\n")
    )
    words = " ".join(argument for argv in command.argv.values() for argument in argv).lower()
    assert not any(secret in words for secret in ("key", "token", "secret", "password"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"refusals": {"lost": ["x"]}},
        {"refusals": {"gone": []}},
        {"refusals": {"gone": ["("]}},
        {"refusals": ["x"]},
        {"troubles": ["x"]},
        {"native_form": "("},
        {"native_form": ""},
    ],
)
def test_a_preset_that_says_it_wrongly_is_refused(world: World, wrong: dict[str, Any]) -> None:
    preset(world, "true", **wrong)
    with pytest.raises(PresetError, match=r"refusals|troubles|native_form"):
        load_preset("shell", world.settings.presets_dir)
