"""One line typed into a live agent: taken, refused, stranded, and never typed twice or over a human."""

import random
import time
from typing import Any

import pytest

from tests.terminal.world import Host, World, program

TEXT = "5 new in 3 threads, read them with bridge inbox"


def agent(world: World, name: str = "line.py", *args: str, **window: Any) -> World:  # noqa: ANN401  the window's own fields
    return world.start(program(name, str(world.directory / "got"), *args), **window).ready()


def test_a_line_is_typed_into_an_empty_prompt_and_taken(world: World) -> None:
    agent(world)
    answer = world.injected("wake-1", TEXT)
    assert (answer["result"], answer["why"], answer["enters"]) == ("accepted", "", 1)
    world.until(lambda: world.lines() == [TEXT])


@pytest.mark.parametrize("name", ["slow.py", "readline_line.py"])
def test_an_editor_of_its_own_gets_a_bracketed_paste(world: World, name: str) -> None:
    agent(world, name)
    answer = world.injected("wake-1", TEXT)
    assert (answer["result"], answer["enters"]) == ("accepted", 1)
    world.until(lambda: world.lines() == [TEXT])


@pytest.mark.parametrize("name", ["line.py", "readline_line.py", "slow.py"])
def test_a_line_that_wraps_in_a_narrow_window_is_recognised(world: World, name: str) -> None:
    agent(world, name, cols=30, rows=8)
    text = " ".join(["é漢 letters"] * 12)
    answer = world.injected("wake-1", text)
    if name == "slow.py":  # it draws in one row and knows nothing of wrapping: not our text, so no Enter
        assert answer["result"] in ("unverified", "accepted")
    else:
        assert answer["result"] == "accepted"
        world.until(lambda: world.lines() == [text])


def test_the_wake_waits_while_a_human_types(world: World) -> None:
    agent(world)
    world.window.type(b"x")
    world.until(lambda: "human" in world.host.events())
    answer = world.injected("wake-1", TEXT, quiet_s=20.0, wait_s=1.0)
    assert (answer["result"], answer["why"], answer["ms"] < 1000) == ("not_touched", "human", True)
    world.window.type(b"\x7f")
    world.until(lambda: world.status()["screen"] == "empty")
    answer = world.injected("wake-1", TEXT, quiet_s=0.8, wait_s=5.0)
    assert answer["result"] == "accepted"
    assert answer["ms"] >= 600
    world.until(lambda: world.lines() == [TEXT])


def test_force_skips_the_quiet_but_not_the_look_at_the_box(world: World) -> None:
    agent(world)
    world.window.type(b"a draft")
    world.until(lambda: world.status()["screen"] == "draft")
    answer = world.injected("wake-1", TEXT, quiet_s=20.0, wait_s=0.5, force=True)
    assert (answer["result"], answer["why"]) == ("not_touched", "draft")
    world.window.type(b"\x15")
    world.until(lambda: world.status()["screen"] == "empty")
    assert world.injected("wake-1", TEXT, quiet_s=20.0, force=True)["result"] == "accepted"
    world.until(lambda: world.lines() == [TEXT])


@pytest.mark.parametrize("name", ["line.py", "readline_line.py", "slow.py"])
def test_a_draft_is_never_garbled(world: World, name: str) -> None:
    """Twelve tries: the human begins to type at a random moment around the injection."""
    agent(world, name)
    rng = random.Random(name)
    expected: list[str] = []
    for number in range(12):
        draft = f"my own {number}: 50% >"
        asked = world.host.inject(f"wake-{number}", f"{TEXT} {number}", quiet_s=0.3, wait_s=1.0)
        begin = time.monotonic() + rng.uniform(0.0, 0.6)
        world.until(lambda begin=begin: time.monotonic() >= begin)  # type: ignore[misc]
        for letter in draft:
            world.window.type(letter.encode())
            world.pump(rng.uniform(0, 0.01))
        answer = world.answered(asked)
        assert answer["result"] in ("accepted", "not_touched")
        # Keys that waited may be echoed before the agent prompts again, as keys typed ahead always are.
        world.until(lambda: world.status()["screen"] in ("draft", "unknown"))
        world.window.type(b"\r")
        expected += [f"{TEXT} {number}"] if answer["result"] == "accepted" else []
        expected.append(draft)
        world.until(lambda: len(world.lines()) == len(expected))  # noqa: B023  it ends within this turn
    assert world.lines() == expected
    assert TEXT in " ".join(expected)


def test_keys_typed_ahead_while_the_agent_works_are_not_joined_with_a_wake(world: World) -> None:
    agent(world)
    world.window.type(b"work 0.3\r")
    world.until(lambda: world.window.text.endswith("working"))
    world.window.type(b"ahead")
    world.until(
        lambda: "> " in world.window.text.splitlines()[-1] + " " and world.status()["screen"] != "busy"
    )
    answer = world.injected("wake-1", TEXT, quiet_s=0.0, wait_s=1.0)
    assert (answer["result"], answer["why"]) == ("not_touched", "unknown")
    world.window.type(b"\r")
    world.until(lambda: world.status()["screen"] == "empty")
    assert world.injected("wake-1", TEXT)["result"] == "accepted"
    world.until(lambda: world.lines() == ["work 0.3", "ahead", TEXT])


def test_a_busy_agent_is_not_touched(world: World) -> None:
    agent(world)
    world.window.type(b"work 30\r")
    world.until(lambda: "busy" in world.host.events())
    answer = world.injected("wake-1", TEXT, quiet_s=0.0, wait_s=0.5)
    assert (answer["result"], answer["why"]) == ("not_touched", "busy")
    assert TEXT not in world.window.text


def test_a_question_is_never_answered(world: World) -> None:
    agent(world)
    world.window.type(b"ask\r")
    world.until(lambda: world.status()["screen"] == "dialog")
    answer = world.injected("wake-1", TEXT, quiet_s=0.0, wait_s=0.5, force=True)
    assert (answer["result"], answer["why"]) == ("not_touched", "dialog")
    world.window.type(b"n\r")
    world.until(lambda: world.lines() == ["ask", "answer:n"])
    assert world.injected("wake-1", TEXT)["result"] == "accepted"


def test_a_terminal_that_ignores_enter_strands_the_text_and_is_not_typed_into_again(world: World) -> None:
    agent(world, "deaf.py")
    answer = world.injected("wake-1", TEXT)
    assert (answer["result"], answer["enters"]) == ("stranded", 2)
    before = (world.directory / "got").read_bytes()
    assert before == TEXT.encode() + b"\r\r"
    again = world.injected("wake-1", TEXT, look_first=True, may_type=False)
    assert again["result"] == "stranded"
    assert (world.directory / "got").read_bytes() == before + b"\r\r"
    other = world.injected("wake-2", "something else", wait_s=0.5)
    assert (other["result"], other["why"]) == ("not_touched", "draft")


def test_what_was_typed_is_found_again_though_the_line_would_be_another_by_now(world: World) -> None:
    agent(world, "deaf.py")
    assert world.injected("wake-1", TEXT)["result"] == "stranded"
    again = world.injected("wake-1", TEXT.replace("5 new", "6 new"), look_first=True, may_type=False)
    assert (again["result"], again["enters"]) == ("stranded", 2)
    assert (world.directory / "got").read_bytes() == TEXT.encode() + b"\r\r\r\r"


def test_a_short_deadline_is_kept_with_what_is_known_by_then(world: World) -> None:
    agent(world, "deaf.py")
    answer = world.injected("wake-1", TEXT, deadline_s=0.5, wait_s=0.2)
    assert (answer["result"], answer["enters"]) == ("stranded", 2)
    assert answer["ms"] < 2000


def test_a_terminal_that_shows_nothing_leaves_it_unverified_without_enter(world: World) -> None:
    agent(world, "deaf.py", "mute")
    answer = world.injected("wake-1", TEXT)
    assert (answer["result"], answer["enters"]) == ("unverified", 0)
    assert (world.directory / "got").read_bytes() == TEXT.encode()


def test_look_first_presses_enter_when_our_text_stands_there_and_says_absent_when_not(world: World) -> None:
    agent(world)
    assert world.injected("wake-1", TEXT, look_first=True, may_type=False)["result"] == "absent"
    world.window.type(TEXT.encode())
    world.until(lambda: world.status()["screen"] == "draft")
    answer = world.injected("wake-1", TEXT, quiet_s=0.2, look_first=True, may_type=False)
    assert (answer["result"], answer["enters"]) == ("accepted", 1)
    world.until(lambda: world.lines() == [TEXT])


@pytest.mark.parametrize(
    "text", ["two\nlines", "esc\x1b[201~ape", "bidi \u202e mark", "x" * 201, "", "  ", "a\x7fb"]
)
def test_a_text_that_is_not_one_plain_line_is_refused(world: World, text: str) -> None:
    agent(world)
    answer = world.injected("wake-1", text)
    assert (answer["result"], answer["why"]) == ("not_touched", "invalid")
    assert world.lines() == []


def test_a_key_accepted_before_is_not_typed_again(world: World) -> None:
    agent(world)
    assert world.injected("wake-1", TEXT)["result"] == "accepted"
    assert world.injected("wake-1", TEXT)["result"] == "accepted"
    assert world.injected("wake-2", "the next one")["result"] == "accepted"
    world.until(lambda: world.lines() == [TEXT, "the next one"])


def test_a_host_that_dies_in_mid_injection_is_told_the_truth_when_it_comes_back(world: World) -> None:
    agent(world, "slow.py")
    world.host.inject("wake-1", TEXT, quiet_s=0.0)
    world.until(lambda: TEXT[:10] in world.window.text)
    world.host.hang_up()
    world.until(lambda: world.lines() == [TEXT])
    world.host = Host(world.directory / "host.sock")
    world.ready()
    answer = world.injected("wake-1", TEXT)
    assert answer["result"] == "accepted"
    world.until(lambda: world.status()["screen"] == "empty")
    assert world.lines() == [TEXT]


def test_an_injection_that_still_waits_is_forgotten_when_the_host_dies(world: World) -> None:
    agent(world)
    world.window.type(b"a draft")
    world.until(lambda: world.status()["screen"] == "draft")
    world.host.inject("wake-1", TEXT, quiet_s=0.0, wait_s=60.0, deadline_s=60.0)
    world.status()
    world.host.hang_up()
    world.host = Host(world.directory / "host.sock")
    world.until(lambda: world.host.registrations)
    world.window.type(b"\x15")
    world.ready()
    assert world.injected("wake-2", "another")["result"] == "accepted"
    world.until(lambda: world.lines() == ["another"])


def test_nothing_is_typed_where_it_would_not_be_shown(world: World) -> None:
    agent(world, "secret.py")
    world.window.type(b"login\r")
    world.until(lambda: "PIN: " in world.window.text + " ")
    answer = world.injected("wake-1", TEXT, quiet_s=0.0, wait_s=0.6, force=True)
    assert (answer["result"], answer["why"]) == ("not_touched", "dialog")
    world.window.type(b"1234\r")
    world.until(lambda: world.lines() == ["login", "secret:1234"])
    assert world.injected("wake-1", TEXT)["result"] == "accepted"


def test_a_question_that_comes_while_our_text_is_on_its_way_gets_no_enter(world: World) -> None:
    agent(world, "ambush.py")
    answer = world.injected("wake-1", TEXT, quiet_s=0.0)
    assert (answer["result"], answer["why"], answer["enters"]) == ("unverified", "dialog", 0)
    assert world.lines() == []


def test_a_malformed_question_is_refused_and_the_relay_goes_on(world: World) -> None:
    agent(world)
    for fields in (
        {"key": ""},
        {"key": 5},
        {"text": None},
        {"quiet_s": "soon"},
        {"wait_s": -1},
        {"deadline_s": True},
    ):
        usual = {"key": "wake-1", "text": TEXT, "quiet_s": 0.0, "wait_s": 1.0, "deadline_s": 5.0}
        answer = world.answered(world.host.ask("inject", **(usual | fields)))
        assert (answer["result"], answer["why"]) == ("not_touched", "invalid")
    world.host.send({"op": "screen", "id": 99})
    world.host.send({"op": "inject"})
    assert world.status()["screen"] == "empty"


def test_one_injection_at_a_time_and_a_second_asker_of_the_same_is_told_too(world: World) -> None:
    agent(world, "slow.py")
    first = world.host.inject("wake-1", TEXT, quiet_s=0.0)
    same = world.host.inject("wake-1", TEXT, quiet_s=0.0)
    other = world.host.inject("wake-2", "another", quiet_s=0.0)
    assert (world.answered(other)["result"], world.answered(other)["why"]) == ("not_touched", "busy")
    assert world.answered(first)["result"] == world.answered(same)["result"] == "accepted"
    world.until(lambda: world.lines() == [TEXT])


def test_a_new_token_reaches_the_host_and_the_file(world: World) -> None:
    agent(world)
    (world.directory / "token").write_text("token-2")
    world.window.type(b"work 1\r")  # a change of status beats at once, and a beat looks for the token
    world.until(lambda: {"op": "token", "token": "token-2"} in world.host.got)
    assert next((world.directory / "private").iterdir()).read_text() == "token-2"


def test_refused_by_the_host_it_runs_on_and_says_so_in_the_end(world: World) -> None:
    world.host.refuse = True
    world.start(program("line.py", str(world.directory / "got")))
    world.until(lambda: world.host.registrations and ">" in world.window.text)
    world.window.type(b"exit 0\r")
    assert world.exit_code() == 0
    world.until(lambda: "refused this session: SEAT_TAKEN" in world.window.text)
