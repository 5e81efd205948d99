"""`bridge up --agents-as USER`: what it refuses, and what an agent of another user reaches of a whole running stack."""

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.adapters.runtimes.agent_user import NEEDED, find_user, open_to_agents
from bridge.cli.run import host_socket
from bridge.client import ApiError, Client, StackOperator
from bridge.config import Settings, default_agents_dir, default_run_dir, load_settings, other_user
from bridge.core.errors import InvalidArgument
from bridge.stack.embedded import Server
from bridge.stack.ports import free_port
from bridge.stack.process import Identity, nobody
from bridge.stack.up import refuse_shared_user
from tests.stack.running import Running, clean_environment, until
from tests.support.another_user import ID, NAME, needs_another_user, program_in

ALL = sum(1 << bit for bit in NEEDED.values())
KEPT = {"EACCES", "EPERM"}


# --- what is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "uid", "capabilities", "said"),
    [
        ("no-such-user", 0, ALL, "there is no user 'no-such-user' on this machine: make one"),
        ("root", 0, ALL, "name a user that is not root"),
        (NAME, 1000, 0, "only root can start agents as nobody: start this as root"),
        (NAME, 1000, ALL, "only root can start agents as nobody"),
        (NAME, 0, ALL & ~(1 << NEEDED["CAP_SYS_PTRACE"]), "root lacks CAP_SYS_PTRACE here"),
    ],
)
def test_who_cannot_be_made_is_refused_with_what_to_do(
    name: str, uid: int, capabilities: int, said: str
) -> None:
    with pytest.raises(InvalidArgument, match=said):
        find_user(name, uid=uid, capabilities=capabilities)


@pytest.mark.parametrize(
    ("name", "uid", "another"),
    [(NAME, ID, False), (NAME, 0, True), ("root", 0, True), ("root", ID, True), (NAME, 3_999_999, True)],
)
def test_oneself_is_nobody_else(name: str, uid: int, *, another: bool) -> None:
    assert other_user(name, uid) == (name if another else None)


def test_the_shared_folder_is_another_only_where_agents_are_another_user(tmp_path: Path) -> None:
    run_dir = default_run_dir(tmp_path)
    assert Settings(data_dir=tmp_path).agents_dir == run_dir
    assert Settings(data_dir=tmp_path, agents_as="root").agents_dir == default_agents_dir(tmp_path)
    assert default_agents_dir(tmp_path).parent == Path("/run")


def test_a_terminal_of_the_operators_finds_the_hosts_socket_by_the_stacks_word(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path)
    assert host_socket(settings) == default_run_dir(tmp_path) / "host-local.sock"
    settings.stack_file.write_text(json.dumps({"agents_dir": "/run/there"}))
    assert host_socket(settings) == Path("/run/there/host-local.sock")
    assert host_socket(load_settings(data_dir=tmp_path, agents_dir=Path("/run/x"))).parent == Path("/run/x")


def test_a_user_is_taken_with_all_its_groups() -> None:
    user = find_user(NAME, uid=0, capabilities=ALL)
    assert (user.uid, user.groups) == (ID, tuple(os.getgrouplist(NAME, user.gid)))


@pytest.mark.parametrize("command", [["up"], ["host", "east"]])
def test_the_command_refuses_in_one_line_before_it_starts_anything(
    tmp_path: Path, command: list[str]
) -> None:
    data = tmp_path / "data"
    token = tmp_path / "token"
    argv = [*command, "--data", str(data), "--agents-as", "no-such-user"]
    if command == ["host", "east"]:
        claims = (
            "eyJhZ2VudF9pZCI6Imhvc3Q6ZWFzdCIsInJvbGUiOiJob3N0In0"  # {"agent_id":"host:east","role":"host"}
        )
        token.write_text(f"e30.{claims}.x")
        token.chmod(0o600)
        argv += ["--url", "http://127.0.0.1:1", "--token-file", str(token)]
    elsewhere = {"DATABASE_URL": "postgresql://x@127.0.0.1:1/x", "BROKER_URL": "redis://127.0.0.1:1"}
    said = subprocess.run(
        [sys.executable, "-m", "bridge.cli.app", *argv],
        env=clean_environment(**elsewhere),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr.startswith("bridge: there is no user 'no-such-user' on this machine")
    assert said.stderr.count("\n") == 1
    assert not (data / "keys").exists()


@pytest.fixture(name="short")
def _short() -> Iterator[Path]:
    """A folder of ours with room for a socket's path."""
    needs_another_user()
    folder = Path(tempfile.mkdtemp(prefix="wb-as-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_folder_that_others_could_change_is_refused(short: Path, mode: int) -> None:
    above = short / "above"
    above.mkdir()
    above.chmod(mode)
    settings = Settings(data_dir=short / "data", agents_as=NAME, agents_dir=above / "agents")
    with pytest.raises(InvalidArgument, match="may be written by others"):
        open_to_agents(settings)


@pytest.mark.parametrize(("name", "said"), [("link", "is not a folder of root's"), ("in", "cannot enter")])
def test_a_folder_that_is_a_link_or_cannot_be_entered_is_refused(short: Path, name: str, said: str) -> None:
    (short / "link").symlink_to("/etc")
    with pytest.raises(InvalidArgument, match=said):
        open_to_agents(Settings(data_dir=short, agents_as=NAME, agents_dir=short / name))


def test_the_bridges_own_folder_is_never_opened(short: Path) -> None:
    settings = Settings(data_dir=short, agents_as=NAME, agents_dir=short)
    with pytest.raises(InvalidArgument, match="the bridge's own"):
        open_to_agents(settings)
    assert short.stat().st_mode & 0o077 == 0


def test_agents_are_never_the_user_that_postgres_has_to_be(tmp_path: Path) -> None:
    name = pwd.getpwuid(nobody()[0]).pw_name
    signals = (signal.SIGINT, signal.SIGINT)
    servers = {how: Server("postgres", (), tmp_path, *signals, how) for how in Identity}
    with pytest.raises(InvalidArgument, match=f"Postgres runs as {name} here"):
        refuse_shared_user(name, {"postgres": servers[Identity.NOBODY]})
    refuse_shared_user(name, {"postgres": servers[Identity.NAMESPACE]})
    refuse_shared_user(None, {"postgres": servers[Identity.NOBODY]})


# --- what an agent reaches ---------------------------------------------------------------------------------


@pytest.fixture(name="running", scope="module")
def _running() -> Iterator[Running]:
    needs_another_user()
    data = Path(tempfile.mkdtemp(prefix="wb-as-", dir="/tmp"))
    argv = ["-m", "bridge.cli.app", "up", "--data", str(data), "--port", str(free_port(0))]
    running = Running(data, argv=[sys.executable, *argv, "--agents-as", NAME])
    try:
        yield running
    finally:
        running.clean()
        shutil.rmtree(data)
        shutil.rmtree(default_agents_dir(data), ignore_errors=True)


@pytest.fixture(name="operator", scope="module")
def _operator(running: Running) -> Iterator[Client]:
    with Client(str(running.record()["url"]), StackOperator(running.data_dir)) as client:
        yield client


def ask(running: Running, operator: Client, attempts: list[tuple[str, str]]) -> dict[str, Any]:
    """Ask an agent that the bridge has to start, and give what it answered."""
    argv = [*program_in(default_agents_dir(running.data_dir), "prying.py"), json.dumps(attempts)]
    preset = f'name = "prying"\n[command]\nspawn = {json.dumps([*argv, "answers", "{run_id}"])}\n'
    folder = running.data_dir / "presets"
    folder.mkdir(mode=0o700)
    (folder / "prying.toml").write_text(preset)
    until(lambda: bound(operator), "the preset on the host")
    members = [{"agent_id": name} for name in ("operator", "reviewer")]
    thread = str(operator.create_thread("what can you reach?", members)["thread_id"])
    operator.post(thread, "what can you reach?", to=["reviewer"])
    said = until(lambda: answers(operator, thread), "its answer")
    found: dict[str, Any] = json.loads(said[0]["body"])
    return found


def bound(operator: Client) -> bool:
    try:
        operator.call("PUT", "/v1/agents/reviewer", json={"preset": "prying", "host": "local"})
    except ApiError:  # the host has not told yet what it can start
        return False
    return True


def answers(operator: Client, thread: str) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = operator.read(thread, since_seq=1)["items"]
    return [message for message in said if message["sender_agent_id"] == "reviewer"]


def test_an_agent_of_another_user_answers_and_reaches_nothing_of_the_stack(
    running: Running, operator: Client
) -> None:
    data, run = running.data_dir, default_run_dir(running.data_dir)
    shared = default_agents_dir(data)
    pids = {**running.pids(), "manager": running.process.pid}
    attempts = [
        *(("read", str(data / name)) for name in ("stack.json", "keys/signing.pem", "keys/metrics.token")),
        *(("list", str(folder)) for folder in (data, data / "keys", run, shared, shared / "runs")),
        *(("read", str(data / "postgres" / "PG_VERSION")), ("read", str(run / "host-local.token"))),
        *(("connect", str(run / name)) for name in (".s.PGSQL.5432", "broker.sock")),
        *(("environ", str(pid)) for pid in pids.values()),
        *(("stop", str(pid)) for pid in pids.values()),
        *(("replace", str(shared / "host-local.sock")), ("read", str(shared / "host-local.lock"))),
    ]
    missing = {what for verb, what in attempts if verb not in {"environ", "stop"} and not Path(what).exists()}
    assert missing == {str(shared / "runs")}, "it is made with the first run"
    found = ask(running, operator, [("connect", str(shared / "host-local.sock")), *attempts])
    assert (found["uid"], found["asked"]) == ([ID] * 3, "what can you reach?")
    (_, _, dialled), *tried = found["tried"]
    assert dialled == "ok", "the host's socket is what wrappers of this user dial"
    assert [one for one in tried if one[2] not in KEPT] == []
    assert len(tried) == len(attempts)


def test_the_welcome_says_who_agents_are_and_what_they_reach(running: Running) -> None:
    shared = default_agents_dir(running.data_dir)
    until(lambda: "Ctrl-C stops everything" in running.said, "the welcome")
    assert f"run as nobody, and reach {shared} alone" in running.said
    assert f"BRIDGE_AGENTS_DIR={shared}" in running.said
