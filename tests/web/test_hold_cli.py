"""`bridge hold` and `bridge inspect-thread` as they are typed: in an agent's shell, and by an operator."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from structlog.testing import capture_logs
from werkzeug.serving import make_server

from bridge.cli.app import run
from bridge.cli.standing import stands
from bridge.commands.postpone_wake import postpone_wake
from bridge.config import Settings
from bridge.core.states import MessageKind, Role, WaitReason
from tests.support.web import Api, Mint
from tests.support.world import Clock, World

Bridge = Callable[..., tuple[int, str, str]]
Apis = Callable[..., Api]
GIVE_BACK = "to give it back: bridge hold --release --session ses_bob"


@pytest.fixture
def url(app: Flask, clock: Clock) -> Iterator[str]:
    """The app on a port of its own."""
    del clock
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    with capture_logs():  # the app's, which would stand among what the command prints
        yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def shell(
    url: str,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Bridge:
    """`shell("hold", "15m")`: in the shell that bob's wrapper gave it; `as_="olivia"`: an operator's, in no session."""

    def call(*words: str, as_: str = "bob") -> tuple[int, str, str]:
        own = as_ == "bob"
        path = tmp_path / f"{as_}.token"
        path.write_text(Mint(settings).token(as_, Role.PARTICIPANT if own else Role.OPERATOR))
        monkeypatch.setenv("BRIDGE_URL", url)
        monkeypatch.setenv("BRIDGE_TOKEN_FILE", str(path))
        if own:
            monkeypatch.setenv("BRIDGE_SESSION_ID", "ses_bob")
        else:
            monkeypatch.delenv("BRIDGE_SESSION_ID", raising=False)
        code = run(list(words))
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture
def thread(world: World, clock: Clock) -> str:
    """A thread of alice and bob, whose session is live."""
    del clock
    world.live("bob")
    return world.thread("alice", "bob")


def test_a_shell_in_the_session_holds_it_and_gives_it_back(shell: Bridge, world: World, thread: str) -> None:
    assert shell("hold", "15m", "--reason", "a rebase") == (
        0,
        f"held: ses_bob until 2030-01-01 00:15:00 UTC (in 15 min): a rebase\n{GIVE_BACK}\n",
        "",
    )
    wake_id = world.pending(thread)
    world.advance(wake_id)
    out = shell("wake", "explain", wake_id)[1]
    assert "waits for  its session is to be left alone: bob holds it until 00:15:00 UTC: a rebase" in out
    assert "sooner if  the hold is released" in out
    assert "then       once nobody holds its session: live, try 1 of 3" in out
    assert "in short   waits: its session is held; looks again in 5 s; bob holds its session until" in out
    assert shell("hold", "--release") == (0, "released: ses_bob\n", "")
    assert world.advance(wake_id).probe is not None


def test_an_operator_names_the_session(shell: Bridge, thread: str) -> None:
    del thread
    code, _, err = shell("hold", "2h", as_="olivia")
    assert (code, err) == (2, "bridge: name the session: --session S (this shell is in none)\n")
    assert shell("hold", "2h", "--session", "ses_bob", as_="olivia")[0] == 0
    code, _, err = shell("hold", "--release")
    assert (
        code,
        "olivia holds it until 02:00:00 UTC; only olivia or an operator may change that" in err,
    ) == (
        1,
        True,
    )
    held = json.loads(shell("hold", "--session", "ses_bob", "--json", as_="olivia")[1])
    assert (held["held_by"], held["held_until"], held["now"]) == (
        "olivia",
        "2030-01-01T04:00:00.000000Z",
        "2030-01-01T00:00:00.000000Z",
    )
    assert shell("hold", "--release", "--session", "ses_bob", as_="olivia")[1] == "released: ses_bob\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("hold", "soon"), 1, "'soon' is no span"),
        (("hold", "5h"), 1, "from 1 to 14400 seconds (hold_s_max)"),
        (("hold", "1m", "--release"), 2, "--release"),
        (("hold", "1m", "--session", "ses_else"), 1, "CLAIM_MISMATCH"),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    shell: Bridge, thread: str, words: tuple[str, ...], code: int, said: str
) -> None:
    del thread
    found, _, err = shell(*words)
    assert found == code
    assert said in err


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"for_s": "60"},
        {"for_s": -1},
        {"for_s": True},
        {"for_s": 60, "reason": ""},
        {"for_s": 60, "until": 1},
    ],
)
def test_a_malformed_hold_is_refused(api: Apis, thread: str, body: dict[str, object]) -> None:
    del thread
    answer = api("bob").call("PUT", "/v1/sessions/ses_bob/hold", body)
    assert (answer.status_code, answer.json and answer.json["code"]) == (400, "INVALID_ARGUMENT")


def test_the_role_table_of_holds(api: Apis, thread: str) -> None:
    del thread
    asked = {"for_s": 60}
    for agent, role, session, status in (
        ("bob", Role.PARTICIPANT, "ses_bob", 200),
        ("alice", Role.PARTICIPANT, "ses_bob", 403),
        ("carla", Role.COORDINATOR, "ses_bob", 403),
        ("ada", Role.AUDITOR, "ses_bob", 403),
        ("host:local", Role.HOST, "ses_bob", 403),
        ("olivia", Role.OPERATOR, "ses_bob", 200),
        ("olivia", Role.OPERATOR, "ses_nowhere", 404),
        ("alice", Role.PARTICIPANT, "ses_alice", 404),
    ):
        answer = api(agent, role).call("PUT", f"/v1/sessions/{session}/hold", asked)
        assert answer.status_code == status, (agent, session)
    stranger = api("olivia", Role.OPERATOR, workspace="ws_2").call("PUT", "/v1/sessions/ses_bob/hold", asked)
    assert stranger.status_code == 404


def test_a_wakes_line_says_why_it_waits_and_counts_down(
    shell: Bridge, world: World, clock: Clock, thread: str
) -> None:
    wake_id = world.pending(thread)
    world.advance(wake_id)
    postpone_wake(
        world.deps,
        world.workspace,
        wake_id,
        fence=world.wake(wake_id)["fence"],
        reason=WaitReason.HUMAN,
        why="a human typed 3 s ago",
        worker="w",
    )
    human = "waits: a human typed 3 s ago; looks again in 5 s; gives the terminal up in 1 min; its life ends in 10 min"
    assert human in shell("wake", "list", as_="olivia")[1]
    clock.advance(2)
    wake = json.loads(shell("wake", "list", "--json", as_="olivia")[1])["items"][0]
    assert stands(wake) == (
        "waits: a human typed 3 s ago (seen 2 s ago); looks again in 3 s; gives the terminal up in 58 s; "
        "its life ends in 9 min 58 s"
    )
    assert (wake["deferred_left_s"], wake["held_until"]) == (58.0, None)


def test_a_thread_is_shown_with_people_messages_wakes_attempts_and_findings(
    shell: Bridge, world: World, clock: Clock, thread: str
) -> None:
    world.post(thread, "alice", "look\x1b[31m at this")
    taken = world.wake(world.open_wake(thread, "bob")["wake_id"])  # type: ignore[index]
    world.waiting(taken["wake_id"])
    clock.advance(3)
    world.post(
        thread,
        "alice",
        "a finding",
        kind=MessageKind.EVENT,
        event={"type": "finding_reported", "file": "a.py", "line": 3, "text": "off by one"},
    )
    code, out, _ = shell("inspect-thread", "--thread-id", thread, as_="olivia")
    assert code == 0
    assert re.search(rf"^{thread} \(workflow\): t$", out, re.MULTILINE)
    assert re.search(r"^  status    active$", out, re.MULTILINE)
    assert re.search(r"^PARTICIPANT +ROLE +READ TO +UNREAD$", out, re.MULTILINE)
    assert re.search(r"^bob +- +0 +2$", out, re.MULTILINE)
    assert "  1 alice 3 s ago: look" in out
    assert "\x1b" not in out
    assert "  2 alice [finding_reported] 0 s ago: a finding" in out
    assert re.search(
        rf"^  {taken['wake_id']} bob, up to 2: waiting; to be read up to 1, in", out, re.MULTILINE
    )
    assert re.search(r"^      try 1 live in ses_bob, 3 s ago: was taken$", out, re.MULTILINE)
    assert re.search(r"^  \S+ \(open, seq 2\) a\.py:3: off by one$", out, re.MULTILINE)
    found = json.loads(shell("inspect-thread", "--thread-id", thread, "--json", as_="olivia")[1])
    assert set(found) == {"now", "thread", "messages", "wakes", "more_wakes", "attempts", "findings"}
    assert shell("inspect-thread", "--thread-id", "th_nowhere", as_="olivia")[0] == 1


def test_an_empty_thread_is_shown_too(shell: Bridge, thread: str) -> None:
    out = shell("inspect-thread", "--thread-id", thread)[1]
    assert "no messages" in out
    assert "no wakes" in out


def test_what_showed_that_a_line_was_taken_is_said_in_words(shell: Bridge, world: World, thread: str) -> None:
    wake_id = world.pending(thread)
    world.settle(world.touching(wake_id), by="record")
    out = shell("wake", "explain", wake_id)[1]
    assert re.search(r"the hand reported -> waiting.*: its own record shows the prompt", out)
