"""The host's socket where agents are another user: they may dial it, nobody else may, and it stays ours."""

import json
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.adapters.runtimes.agent_user import open_to_agents
from bridge.adapters.runtimes.pty import PtyServer
from bridge.bootstrap import Container
from bridge.config import Settings
from tasks.host_registrar import HostRegistrar
from tests.support.another_user import ID, NAME, needs_another_user, program_in
from tests.tasks.world import World

A_THIRD = 65533


@pytest.fixture(name="settings")
def _settings_of_another_user(settings: Settings) -> Iterator[Settings]:
    needs_another_user()
    folder = Path(tempfile.mkdtemp(prefix="wb-agents-", dir="/tmp"))
    yield settings.model_copy(update={"agents_as": NAME, "agents_dir": folder})
    shutil.rmtree(folder)


@pytest.fixture(name="server", autouse=True)
def _server(container: Container, world: World) -> Iterator[PtyServer]:
    world.thread("reader")
    user = open_to_agents(world.settings)
    server = PtyServer(world.settings.host_socket, HostRegistrar(container, world.host), agents=user)
    assert server.open()
    yield server
    server.close()


def dial(world: World, uid: int, *, silent: bool = False, **more: object) -> dict[str, Any]:
    """What the host answers a wrapper of that user; a silent one hears a refusal that waits for no word of its."""
    hello = {"op": "register", "token": world.token("reader", "ses-reader"), "session_id": "ses-reader"}
    program = program_in(world.settings.agents_dir, "dial.py")
    argv = [*program, str(world.settings.host_socket), "" if silent else json.dumps(hello | more)]
    said = subprocess.run(argv, user=uid, group=uid, cwd="/", capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(said.stdout)
    return found


def test_a_wrapper_of_the_agents_user_is_let_in(world: World) -> None:
    assert dial(world, ID) == {"op": "registered", "agent_id": "reader", "seat_term": 1}


def test_a_wrapper_of_our_own_is_let_in_as_ever(world: World) -> None:
    assert dial(world, os.geteuid())["op"] == "registered"


def test_a_third_user_is_kept_out_by_the_sockets_mode_and_by_its_uid(world: World) -> None:
    assert dial(world, A_THIRD) == {"op": "EACCES"}
    world.settings.host_socket.chmod(0o666)  # as its owner, the agents' user, can
    refused = dial(world, A_THIRD, silent=True)
    assert (refused["op"], refused["code"]) == ("refused", "UNAUTHORIZED")


def test_a_wrapper_cannot_name_a_process_of_ours_for_its_directory(world: World) -> None:
    refused = dial(world, ID, runtime="tmux", agent_pid=os.getpid())
    assert (refused["op"], refused["code"]) == ("refused", "UNAUTHORIZED")
    assert "wrapper's user" in refused["detail"]


def test_the_socket_is_theirs_to_dial_and_its_folder_ours(world: World) -> None:
    found, folder = world.settings.host_socket.stat(), world.settings.agents_dir.stat()
    assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (ID, 0o600)
    assert (folder.st_uid, stat.S_IMODE(folder.st_mode)) == (0, 0o711)
