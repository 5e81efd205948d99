"""`bridge wake`, `bridge runs`, `bridge pause`: as an operator types them, against the API."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from structlog.testing import capture_logs
from werkzeug.serving import make_server

from bridge.cli.app import run
from bridge.config import Settings
from bridge.core.policy import RungLimits
from bridge.core.run import Ended, Proved
from bridge.core.states import Role, RunResult
from tests.stack.running import until
from tests.support.web import Mint
from tests.support.world import TEST_POLICY, Clock, FixedPolicies, World

Bridge = Callable[..., tuple[int, str, str]]
CRASH = Ended(RunResult.CRASHED, 3, "exit status 3")


@pytest.fixture
def url(app: Flask, clock: Clock, policies: FixedPolicies) -> Iterator[str]:
    """The app on a port of its own: gunicorn's refuses a database whose clock stands still."""
    del clock
    policies.policy = replace(
        TEST_POLICY,
        resume=RungLimits(tries=2, accept_timeout_s=20.0, read_timeout_s=30.0),
        spawn=RungLimits(tries=1, accept_timeout_s=20.0, read_timeout_s=30.0),
        seat_wait_s=0.0,
    )
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    with capture_logs():  # the app's, which would stand among what the command prints
        yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def bridge(url: str, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Bridge:
    path = tmp_path / "operator.token"
    path.write_text(Mint(settings).token("olivia", Role.OPERATOR))

    def call(*words: str) -> tuple[int, str, str]:
        code = run([*words, "--url", url, "--token-file", str(path)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_a_wakes_story_is_told_from_its_birth_through_each_process_to_who_was_told(
    bridge: Bridge, world: World, clock: Clock
) -> None:
    assert bridge("wake", "list") == (0, "no wakes\n", "")
    assert bridge("runs", "list") == (0, "no runs\n", "")
    world.dormant("bob")
    wake_id = world.pending(world.thread("alice", "bob"))
    first = world.started(wake_id)
    clock.advance(4)
    out = bridge("wake", "explain", wake_id)[1]
    assert "waits for  its process to show whose session it is" in out
    assert "its process ends: judged at once" in out
    assert re.search(r"resume +1 of 2 tries, applies", out)
    assert re.search(r"\+0 s +try 1 process runs on local, pid 101 \(run_", out)
    out = bridge("wake", "list", "--state", "waiting")[1]
    assert re.search(r"^WAKE +AGENT +THREAD +SEQ +STATE +TRIES +BORN +HOW IT STANDS$", out, re.MULTILINE)
    assert re.search(r"bob .* waiting +resume 1 +4 s ago +to be seen to be taken, in 16 s at the latest", out)
    world.move(first, CRASH)
    out = bridge("wake", "explain", wake_id)[1]
    assert "waits for  a pause before the same rung is tried again" in out
    assert re.search(r"until +\S+ \S+ UTC \(in 2 s\)", out)
    assert "then       resume, try 2 of 2" in out
    clock.advance(2)
    world.move(world.started(wake_id), CRASH)
    last = world.started(wake_id)
    world.move(last, Proved("native-2"))
    clock.advance(5)
    world.move(last, CRASH)
    clock.set(world.wake(wake_id)["due_at"])
    world.advance(wake_id)
    code, out, _ = bridge("wake", "explain", wake_id)
    assert code == 0
    happened = [
        r"\+0 s +born -> pending \(first\): message 1 from alice",
        r"\+0 s +try 1 begun: resume in session ses_bob, by hand-1, offers up to 1",
        r"\+4 s +try 1 process ended: crashed \(exit status 3\)\n",
        r"\+4 s +its process has ended -> pending \(backoff\), looks again in 2 s: .*exit status 3",
        r"\+6 s +try 2 begun: resume",
        r"\+6 s +try 3 begun: spawn in session",
        r"\+11 s +try 3 process ended: crashed",
        r"\+11 s +try 3 over: timeout",
        r"looked at -> failed",
        r"messages\n +1 from alice: failed \(offered \+6 s, accepted \+6 s\)",
        r"the operators: bob could not be woken \(tried: resume 2, spawn 1\): its process ended before",
        r"exit status 3; live: its session is not in a terminal",
        r"alice: bob could not be woken",
        rf"to try again: bridge wake retry {wake_id} --reason",
    ]
    at = 0
    for pattern in happened:
        found = re.compile(pattern).search(out, at)
        assert found, (pattern, out)
        at = found.start()
    story = json.loads(bridge("wake", "explain", wake_id, "--json")[1])
    assert [tried["run"]["result"] for tried in story["attempts"]] == ["crashed"] * 3
    assert (story["outlook"], story["ladder"]) == (None, [])


def test_an_operator_acts_on_wakes_and_is_told_what_came_of_it(
    bridge: Bridge, world: World, clock: Clock
) -> None:
    del clock
    world.live("bob")
    wake_id = world.pending(world.thread("alice", "bob"))
    assert bridge("wake", "retry", wake_id)[0] == 1
    assert "let it go on, or force it, or cancel it first" in bridge("wake", "retry", wake_id)[2]
    code, out, _ = bridge("wake", "force", wake_id, "--reason", "it burns")
    assert (code, out.startswith(f"forced: {wake_id}, tried now")) == (0, True)
    assert bridge("wake", "cancel", wake_id, "--reason", "false alarm")[1] == f"cancelled: {wake_id}\n"
    assert "there is nothing to cancel" in bridge("wake", "cancel", wake_id, "--reason", "again")[2]
    out = bridge("wake", "retry", wake_id, "--reason", "it burns after all")[1]
    found = re.fullmatch(r"opened: (\S+) for bob, up to 1\n", out)
    assert found
    out = bridge("wake", "explain", found[1])[1]
    assert "retried by hand -> still pending (first): asked for by olivia: it burns after all" in out
    assert f"retry of {wake_id}" in out
    assert f"it goes on in {found[1]}" in bridge("wake", "explain", wake_id)[1]
    assert bridge("wake", "explain", "wake_nobody")[0] == 1


def test_runs_are_listed_shown_and_ended(bridge: Bridge, world: World, clock: Clock) -> None:
    world.dormant("bob")
    wake_id = world.pending(world.thread("alice", "bob"))
    begun = world.started(wake_id)
    run_id = world.run(begun)["run_id"]
    clock.advance(90)
    out = bridge("runs", "list", "--state", "running", "--agent", "bob", "--host", "local")[1]
    assert re.search(r"^RUN +AGENT +RUNG +HOST +PID +STATE +BEGUN +RAN +HOW IT STANDS$", out, re.MULTILINE)
    assert re.search(
        rf"{run_id} +bob +resume +local +101 +running +1 min 30 s ago +1 min 30 s +not proved yet, killed in",
        out,
    )
    out = bridge("runs", "show", run_id)[1]
    assert f"attempt {wake_id}.1 of {wake_id}" in out
    assert "pid 101, shim 100, by worker hand-1" in out
    code, out, _ = bridge("runs", "kill", run_id, "--reason", "it hangs")
    assert code == 0
    assert f"ending: {run_id} on local: ended by olivia: it hangs" in out
    assert f"bridge wake cancel {wake_id}" in out
    world.move(begun, Ended(RunResult.KILLED, -15))
    assert f"{run_id} " in bridge("runs", "list")[1]
    assert "killed (signal 15): ended by olivia: it hangs" in bridge("runs", "list")[1]
    code, _, err = bridge("runs", "kill", run_id, "--reason", "again")
    assert (code, "there is nothing to kill" in err) == (1, True)
    code, _, err = bridge("runs", "show", "run_nobody", "--json")
    assert (code, json.loads(err)["error"]["code"]) == (1, "NOT_FOUND")


def test_what_is_paused_is_shown_with_who_and_why(bridge: Bridge, world: World, clock: Clock) -> None:
    assert bridge("pause")[1] == "nothing is paused\n"
    code, out, _ = bridge("pause", "agent:bob", "--reason", "on holiday")
    assert (code, out.startswith("paused: agent:bob (to end it: bridge resume agent:bob")) == (0, True)
    world.live("bob")
    wake_id = world.pending(world.thread("alice", "bob"))
    clock.advance(60)
    world.advance(wake_id)
    out = bridge("pause")[1]
    assert re.search(r"^PAUSED +SINCE +BY +WHY$", out, re.MULTILINE)
    assert re.search(r"^agent:bob +1 min ago +olivia +on holiday$", out, re.MULTILINE)
    assert out.endswith("1 wakes wait for that\n")
    assert "waits for  it is paused: on holiday" in bridge("wake", "explain", wake_id)[1]
    assert json.loads(bridge("pause", "--json")[1])["items"][0]["by"] == "olivia"
    assert bridge("pause", "agent:bob")[0] == 2
    assert "is no scope: all, workspace, host:NAME" in bridge("pause", "bob", "--reason", "x")[2]
    assert bridge("resume", "agent:bob", "--reason", "back")[1] == "resumed: agent:bob\n"
    assert "all is not paused" in bridge("resume", "--reason", "back")[2]


def test_with_everything_but_the_database_dead_an_operator_at_the_console_pauses_all(
    settings: Settings, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.thread("alice", "bob")
    stack = {"url": "http://127.0.0.1:9", "database_url": settings.database_url}
    settings.stack_file.write_text(json.dumps(stack))

    def direct(*words: str) -> tuple[int, str, str]:
        where = ("--direct", "--workspace", "ws_1", "--data", str(settings.data_dir))
        code = run([*words, *where])
        said = capsys.readouterr()
        return code, said.out, said.err

    assert direct("pause", "--reason", "all is on fire")[0] == 0
    (row,) = world.owner.rows("SELECT * FROM pauses")
    assert (row["workspace_id"], row["scope"], row["reason"]) == ("ws_1", "all", "all is on fire")
    assert re.fullmatch(r"operator at the console \(\S.*\)", row["by"])
    audited = world.owner.one("SELECT event, actor FROM audit_events WHERE resource_type = 'pause'")
    assert (audited["event"], audited["actor"]) == ("pause.set", row["by"])
    assert re.search(
        r"^all +\S+ s ago +operator at the console \(.+\) +all is on fire$", direct("pause")[1], re.MULTILINE
    )
    assert json.loads(direct("pause", "--json")[1])["items"][0]["scope"] == "all"
    assert direct("resume", "--reason", "out")[1] == "resumed: all\n"
    assert world.owner.value("SELECT count(*) FROM pauses") == 0
    code, _, err = direct("resume", "--reason", "out")
    assert (code, "all is not paused" in err) == (1, True)
    assert (
        run(["pause", "--direct", "--workspace", "ws_x", "--data", str(settings.data_dir), "--reason", "x"])
        == 1
    )
    assert "there is no workspace ws_x" in capsys.readouterr().err
    settings.stack_file.write_text("{}")
    assert direct("pause", "--reason", "x")[0] == 1


def test_who_waits_for_a_runs_end_is_told_of_it(bridge: Bridge, world: World) -> None:
    world.dormant("bob")
    begun = world.started(world.pending(world.thread("alice", "bob")))
    run_id = world.run(begun)["run_id"]

    def host() -> None:
        until(lambda: world.run(begun)["state"] == "ending" or None, "the run is asked to end")
        world.move(begun, Ended(RunResult.KILLED, -9))

    hand = threading.Thread(target=host)
    hand.start()
    code, out, err = bridge("runs", "kill", run_id, "--reason", "it hangs", "--wait")
    hand.join()
    assert (code, f"ended: {run_id}, killed (signal 9): ended by olivia: it hangs" in out) == (0, True)
    assert "ending, waited 0 s ..." in err
