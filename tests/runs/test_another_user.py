"""Agents as another user: what of the bridge is theirs, what is not, and that they are ended like any other."""

import json
import os
import shutil
import signal
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.adapters.runtimes.agent_user import open_to_agents
from bridge.adapters.runtimes.descent import process
from bridge.ports.runs import RunSpec
from tests.runs.world import World, living, until
from tests.support.another_user import ID, NAME, needs_another_user, program_in


@pytest.fixture(name="shared")
def _shared(world: World) -> Iterator[Path]:
    """The folder that agents share with the bridge; all else of this world is root's alone."""
    needs_another_user()
    folder = Path(tempfile.mkdtemp(prefix="wb-agents-", dir="/tmp"))
    world.settings = world.settings.model_copy(update={"agents_as": NAME, "agents_dir": folder})
    open_to_agents(world.settings)
    yield folder
    world.close()
    until(lambda: not living(str(folder)), f"the end: {living(str(folder))}")
    shutil.rmtree(folder)


def start(world: World, shared: Path, part: str, attempts: list[tuple[str, str]], **fields: Any) -> RunSpec:  # noqa: ANN401
    argv = [*program_in(shared, "prying.py"), json.dumps(attempts), part, "{run_id}"]
    return world.start("unused", preset={"spawn": argv, **fields.pop("preset", {})}, **fields)


def found(world: World, spec: RunSpec) -> dict[str, Any]:
    """What the agent said in its line; it has ended."""
    status, result, why = world.ended(spec)
    assert (status, result) == (0, "exited"), (why, output(world, spec))
    said: dict[str, Any] = json.loads(max(output(world, spec).splitlines(), key=len))
    return said


def output(world: World, spec: RunSpec) -> str:
    return (world.settings.runs_dir / spec.run_id / "output.log").read_text()


def test_an_agent_is_that_user_with_no_more_rights_and_a_login_of_its_own(world: World, shared: Path) -> None:
    worker = {
        "PATH": "/usr/bin:/bin",
        "HOME": "/root",
        "XDG_CONFIG_HOME": "/root/.config",
        "DATABASE_URL": "x",
    }
    world.options = {"environment": worker | {"SSH_AUTH_SOCK": "/root/agent"}}
    preset = {"environment": ["PATH", "HOME", "XDG_CONFIG_HOME", "SSH_AUTH_SOCK"]}
    said = found(world, start(world, shared, "says", [("become", "0")], preset=preset))
    assert (said["uid"], said["gid"], said["groups"]) == ([ID] * 3, [ID] * 3, [ID])
    assert (said["capabilities"], said["no_new_privs"]) == (0, "1")
    assert said["tried"] == [["become", "0", "EPERM"]]
    assert said["dies_with_its_parent_by"] == signal.SIGKILL, "a change of user forgets it"
    home = {"HOME": "/nonexistent", "USER": NAME, "LOGNAME": NAME, "SHELL": "/usr/sbin/nologin"}
    assert said["environment"] == {"PATH": "/usr/bin:/bin"} | home
    assert (said["cwd"], said["prompt"]) == ("/", "you have unread messages")


def test_an_agent_reads_its_token_and_nothing_else_of_the_bridges(world: World, shared: Path) -> None:
    data = world.settings.data_dir
    secret = data / "stack.json"
    secret.write_text("the operator's token")
    world.settings.run_dir.mkdir(mode=0o700)
    folder = shared / "runs" / "{run_id}"
    mine = [("read", f"{folder}/token"), ("enter", str(folder))]
    others = [
        *(("read", str(secret)), ("list", str(data)), ("enter", str(world.settings.run_dir))),
        *(("list", str(shared)), ("list", str(shared / "runs")), ("list", str(folder))),
        *(("read", f"{folder}/shim.log"), *((verb, f"{folder}/output.log") for verb in ("read", "write"))),
        *(("make", f"{folder}/x"), ("make", str(shared / "x")), ("replace", f"{folder}/token")),
        *(("replace", str(folder)), ("replace", str(shared / "runs")), ("remove", f"{folder}/token")),
        *(("environ", "shim"), ("stop", "shim"), ("stop", str(os.getpid())), ("environ", str(os.getpid()))),
    ]
    spec = start(world, shared, "says", [*mine, *others])
    tried = found(world, spec)["tried"]
    assert [became for _, _, became in tried[: len(mine)]] == ["ok", "ok"]
    reached = [(verb, what) for verb, what, became in tried[len(mine) :] if became not in {"EACCES", "EPERM"}]
    assert reached == []
    assert len(tried) == len(mine) + len(others)


def test_a_token_is_renewed_for_that_user_and_for_nobody_besides(world: World, shared: Path) -> None:
    spec = start(world, shared, "stays", [])
    world.told(spec, "proved")
    held = world.book._held[spec.run_id]
    first = held.place.token.stat()
    held.token_at = 0.0
    world.book._tokens.look()
    second = until(lambda: _other(held.place.token, first.st_ino), "a fresh token")
    for one in (first, second):
        assert (one.st_uid, one.st_gid, stat.S_IMODE(one.st_mode)) == (ID, ID, 0o600)
    assert stat.S_IMODE(held.place.folder.stat().st_mode) == 0o711


def _other(path: Path, inode: int) -> os.stat_result | None:
    now = path.stat()
    return now if now.st_ino != inode else None


def test_all_that_another_users_agent_started_is_ended_with_it(world: World, shared: Path) -> None:
    spec = start(world, shared, "stays", [])
    world.told(spec, "proved")
    started = world.told(spec, "started")
    shim = Path(f"/proc/{started['shim_pid']}").stat()
    agent = process(started["pid"])
    assert agent is not None
    assert (shim.st_uid, Path(f"/proc/{agent.pid}").stat().st_uid) == (0, ID)
    until(lambda: len(living(spec.run_id)) == 4, "shim, agent and two daemons")
    world.book.end(spec.run_id, "an operator said so", 0.1)
    assert world.ended(spec) == (-9, "killed", "an operator said so")


def test_what_a_killed_shim_leaves_is_found_though_it_is_another_users(world: World, shared: Path) -> None:
    spec = start(world, shared, "stays", [])
    shim = world.told(spec, "started")["shim_pid"]
    held = world.book._held[spec.run_id]
    until(lambda: len(living(spec.run_id)) == 4, "shim, agent and two daemons")
    until(lambda: len(held.seen) == 3, "they were seen")
    os.kill(shim, signal.SIGKILL)
    assert world.ended(spec) == (None, "lost", "its shim was killed")


def test_a_directory_that_the_user_may_not_enter_is_said_in_the_runs_end(world: World, shared: Path) -> None:
    spec = start(world, shared, "says", [], cwd=str(world.settings.data_dir))
    status, result, why = world.ended(spec)
    assert (status, result) == (127, "crashed")
    assert (
        why
        == f"could not be started: its directory {world.settings.data_dir}: not allowed, or not executable"
    )
