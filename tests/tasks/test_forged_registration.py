"""What a wrapper with a participant's token may not say of itself on the host's socket."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from bridge.adapters.runtimes.pty import PtyServer
from bridge.bootstrap import Container
from tasks.host_registrar import HostRegistrar
from tests.tasks.world import World, Wrapper


@pytest.fixture(name="server", autouse=True)
def _server(container: Container, world: World) -> Iterator[PtyServer]:
    world.thread("reader", "other")
    server = PtyServer(world.settings.host_socket, HostRegistrar(container, world.host))
    assert server.open()
    yield server
    server.close()


def dial(world: World, **more: object) -> Wrapper:
    return Wrapper(world.settings, world.token("reader", "ses-reader"), "ses-reader").dial(**more)


FORGED: dict[str, Any] = {
    "cwd": "/etc",
    "host": "evil",
    "agent_id": "other",
    "workspace_id": "ws-other",
    "native_id": "-c evil",
    "term": 99,
    "command": ["rm", "-rf", "/"],
    "pane": "%5",
}


def test_what_it_says_of_its_place_is_not_heard(world: World) -> None:
    wrapper = dial(world, pid=os.getpid(), **FORGED)
    assert wrapper.greeting == {"op": "registered", "agent_id": "reader", "seat_term": 1}
    session = world.session("ses-reader")
    assert session
    assert (session["agent_id"], session["host"], session["native_id"]) == ("reader", world.host, None)
    assert session["cwd"] == os.getcwd()  # noqa: PTH109 - the peer's own, as the kernel says
    wrapper.close()


@pytest.mark.parametrize("pid", [1, os.getppid(), 0, -1, 2**31])
def test_it_is_no_other_process(world: World, pid: int) -> None:
    wrapper = dial(world, pid=pid)
    assert wrapper.greeting.get("op") == "refused"
    assert world.session("ses-reader") is None
    wrapper.close()


@pytest.mark.parametrize("session_id", ["ses-other", "", "-c", "ses-reader\n", "../ses-reader"])
def test_it_is_no_other_session(world: World, session_id: str) -> None:
    other = Wrapper(world.settings, world.token("other", "ses-other"), "ses-other").dial()
    wrapper = dial(world, session_id=session_id)
    assert wrapper.greeting.get("op") == "refused"
    held = world.session("ses-other")
    assert held
    assert (held["agent_id"], held["attached"], held["term"]) == ("other", True, 1)
    wrapper.close()
    other.close()


@pytest.mark.parametrize("preset", ["../evil", "/etc/evil", "-c", "", "EVIL", 5, ["line"], "a" * 40])
def test_a_preset_is_a_name_of_the_hosts_or_none(world: World, preset: object) -> None:
    wrapper = dial(world, preset=preset)
    session = world.session("ses-reader")
    assert session is None or session["preset"] is None
    wrapper.close()
