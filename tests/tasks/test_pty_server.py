"""The host's side of the link, spoken to by a scripted wrapper."""

import os
import stat
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.adapters.runtimes.pty import LINE_BYTES_MAX, PtyServer
from bridge.adapters.runtimes.pty_runtime import PtyRuntime
from bridge.bootstrap import Container
from bridge.core.states import Evidence, WaitReason
from bridge.ports.runtime import Line, SessionRef
from tasks.host_registrar import HostRegistrar
from tests.tasks.world import World, Wrapper, until


@pytest.fixture(name="server")
def _server(container: Container, world: World) -> Iterator[PtyServer]:
    world.thread("reader")
    server = PtyServer(world.settings.host_socket, HostRegistrar(container, world.host))
    assert server.open()
    yield server
    server.close()


@pytest.fixture(name="runtime")
def _runtime(server: PtyServer) -> PtyRuntime:
    return PtyRuntime(server)


@pytest.fixture(name="session")
def _session(world: World) -> SessionRef:
    return SessionRef(world.workspace, "reader", "ses-reader")


@pytest.fixture(name="wrapper")
def _wrapper(world: World, server: PtyServer) -> Iterator[Wrapper]:
    del server  # it listens
    wrapper = wrapper_of(world).dial().serve()
    yield wrapper
    wrapper.close()


def wrapper_of(world: World, session_id: str = "ses-reader", agent_id: str = "reader") -> Wrapper:
    return Wrapper(world.settings, world.token(agent_id, session_id), session_id)


def attached(world: World, session_id: str = "ses-reader") -> bool:
    session = world.session(session_id)
    return bool(session and session["attached"])


def line(key: str = "wake_1") -> Line:
    return Line(key=key, text="read this", deadline_s=2.0)


class TestRegistering:
    def test_a_session_is_attached_with_the_tokens_agent(self, world: World, wrapper: Wrapper) -> None:
        assert wrapper.greeting == {"op": "registered", "agent_id": "reader", "seat_term": 1}
        session = world.session("ses-reader")
        assert session
        assert (session["agent_id"], session["host"], session["pid"], session["runtime"]) == (
            "reader",
            world.host,
            os.getpid(),
            "pty",
        )

    def test_end_of_file_is_offline_at_once(self, world: World, wrapper: Wrapper) -> None:
        wrapper.close()
        until(lambda: not attached(world), "the session detached")

    def test_the_programs_end_is_offline_at_once(self, world: World, wrapper: Wrapper) -> None:
        wrapper.say({"op": "event", "event": "exited", "status": 0})
        until(lambda: not attached(world), "the session detached")

    @pytest.mark.usefixtures("server")
    def test_a_newer_registration_ends_the_older_and_is_not_ended_by_it(self, world: World) -> None:
        older = wrapper_of(world).dial()
        newer = wrapper_of(world).dial()
        assert older.hung_up()
        older.close()
        assert newer.greeting["seat_term"] == 2
        newer.say({"op": "event", "event": "ready"})
        assert attached(world)
        newer.close()

    @pytest.mark.usefixtures("server")
    @pytest.mark.parametrize(
        ("hello", "code"),
        [
            ({"token": "no.such.token"}, "UNAUTHORIZED"),
            ({"session_id": "ses-other"}, "CLAIM_MISMATCH"),
            ({"op": "status"}, "INVALID_ARGUMENT"),
            ({"pid": "1"}, "INVALID_ARGUMENT"),
            ({"pid": 1}, "UNAUTHORIZED"),
            ({"runtime": "door"}, "INVALID_ARGUMENT"),
            ({"runtime": "tmux", "agent_pid": 2**22 + 1}, "UNAUTHORIZED"),
        ],
    )
    def test_whoever_may_not_is_told_why_and_hung_up_on(
        self, world: World, hello: dict[str, object], code: str
    ) -> None:
        wrapper = wrapper_of(world).dial(**hello)
        assert (wrapper.greeting["op"], wrapper.greeting["code"]) == ("refused", code)
        assert wrapper.hung_up()
        wrapper.close()
        assert not attached(world)

    @pytest.mark.usefixtures("server")
    def test_another_agents_session_is_refused(self, world: World) -> None:
        first = wrapper_of(world).dial()
        second = wrapper_of(world, agent_id="sender").dial()
        assert second.greeting["code"] == "CLAIM_MISMATCH"
        assert attached(world)
        first.close()
        second.close()

    @pytest.mark.usefixtures("server")
    def test_the_socket_is_ours_alone(self, world: World) -> None:
        assert stat.S_IMODE(world.settings.host_socket.stat().st_mode) == 0o600

    @pytest.mark.usefixtures("server")
    def test_a_second_worker_of_the_host_waits_and_then_takes_over(
        self, container: Container, world: World, server: PtyServer
    ) -> None:
        second = PtyServer(world.settings.host_socket, HostRegistrar(container, world.host))
        assert not second.open()
        server.close()
        assert second.open()
        wrapper = wrapper_of(world).dial()
        assert wrapper.greeting["op"] == "registered"
        wrapper.close()
        second.close()

    @pytest.mark.usefixtures("server")
    @pytest.mark.parametrize(
        "garbage", [b"x" * (LINE_BYTES_MAX + 2), b"[1]\n", b"nothing\n", b"\xff\xfe\n", b"[" * 9_000 + b"\n"]
    )
    def test_what_is_no_line_ends_the_connection_and_no_other(self, world: World, garbage: bytes) -> None:
        good = wrapper_of(world).dial()
        bad = wrapper_of(world, "ses-bad").dial()
        bad.raw(garbage)
        until(bad.hung_up, "the end of it")
        bad.close()
        assert attached(world)
        good.close()

    def test_a_token_that_is_over_ends_the_connection(self, world: World, server: PtyServer) -> None:
        wrapper = Wrapper(
            world.settings, world.token("reader", "ses-reader", life_s=600), "ses-reader"
        ).dial()
        server.check_tokens()
        assert attached(world)
        with world.container.db.unit(world.workspace) as uow:
            from sqlalchemy import text  # noqa: PLC0415

            uow.run(
                text(
                    "INSERT INTO revocations (workspace_id, kind, value, by, reason, created_at) "
                    "VALUES (:w, 'session', 'ses-reader', 'op', 'test', bridge_now() + interval '2 s')"
                ),
                {"w": world.workspace},
            )
        world.container.tokens.revoked(world.workspace)
        server.check_tokens()
        assert wrapper.hung_up()
        wrapper.close()


class TestTouching:
    @pytest.mark.parametrize(
        ("screen", "human_idle_s", "free", "reason"),
        [
            ("empty", None, True, None),
            ("empty", 30.0, True, None),
            ("empty", 3.0, False, WaitReason.HUMAN),
            ("draft", 60.0, True, None),
            ("draft", 1.0, False, WaitReason.HUMAN),
            ("busy", None, False, WaitReason.BUSY),
            ("dialog", None, False, WaitReason.BUSY),
            ("unknown", None, False, WaitReason.BUSY),
        ],
    )
    def test_looking_says_what_is_in_the_way(
        self,
        runtime: PtyRuntime,
        session: SessionRef,
        wrapper: Wrapper,
        screen: str,
        human_idle_s: float | None,
        free: bool,
        reason: WaitReason | None,
    ) -> None:
        wrapper.screen, wrapper.human_idle_s = screen, human_idle_s
        probed = runtime.probe(session, quiet_s=20)
        assert (probed.free, probed.reason) == (free, reason)
        assert probed.free or probed.why

    def test_force_skips_the_quiet_and_nothing_else(
        self, runtime: PtyRuntime, session: SessionRef, wrapper: Wrapper
    ) -> None:
        wrapper.human_idle_s = 1.0
        assert runtime.probe(session, quiet_s=20, force=True).free
        wrapper.screen = "dialog"
        assert not runtime.probe(session, quiet_s=20, force=True).free

    @pytest.mark.parametrize("result", list(Evidence)[:5])
    def test_the_wrappers_word_is_the_evidence(
        self, runtime: PtyRuntime, session: SessionRef, wrapper: Wrapper, result: Evidence
    ) -> None:
        wrapper.result = result.value
        assert runtime.hand_over(session, line()).evidence is result
        assert wrapper.typed[0]["text"] == "read this"

    def test_nobody_there_means_that_nothing_was_touched(
        self, runtime: PtyRuntime, session: SessionRef
    ) -> None:
        probed = runtime.probe(session, quiet_s=20)
        assert (probed.free, probed.here) == (False, False)
        assert runtime.hand_over(session, line()).evidence is Evidence.GONE

    def test_a_wrapper_that_vanishes_while_typing_leaves_it_unknown(
        self, runtime: PtyRuntime, session: SessionRef, wrapper: Wrapper
    ) -> None:
        wrapper.result = "silence"
        handed = []
        thread = threading.Thread(target=lambda: handed.append(runtime.hand_over(session, line())))
        thread.start()
        until(lambda: wrapper.typed, "the line on its way")
        wrapper.close()
        thread.join()
        assert handed[0].evidence is Evidence.UNVERIFIED

    def test_a_wrapper_that_does_not_answer_is_waited_for_no_longer_than_the_deadline(
        self, runtime: PtyRuntime, session: SessionRef, wrapper: Wrapper
    ) -> None:
        wrapper.result = "silence"
        handed = runtime.hand_over(session, Line(key="wake_1", text="read this", deadline_s=0.2))
        assert handed.evidence is Evidence.UNVERIFIED

    def test_many_ask_at_once_and_each_gets_its_own_answer(
        self, runtime: PtyRuntime, session: SessionRef, wrapper: Wrapper
    ) -> None:
        found: list[Evidence] = []

        def hand(number: int) -> None:
            found.append(runtime.hand_over(session, line(f"wake_{number}")).evidence)

        threads = [threading.Thread(target=hand, args=(number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [Evidence.ACCEPTED] * 12
        assert len({message["key"] for message in wrapper.typed}) == 12


def test_connections_are_bounded(container: Container, world: World) -> None:
    server = PtyServer(world.settings.host_socket, HostRegistrar(container, world.host), connections_max=1)
    assert server.open()
    world.thread("reader")
    first = wrapper_of(world).dial()
    second = wrapper_of(world, "ses-second").dial()
    assert second.greeting == {}
    second.close()
    first.close()
    server.close()


def test_another_users_wrapper_is_refused(
    container: Container, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = PtyServer(world.settings.host_socket, HostRegistrar(container, world.host))
    assert server.open()
    monkeypatch.setattr(os, "geteuid", lambda: 4_711)
    wrapper = wrapper_of(world).dial()
    assert wrapper.greeting["code"] == "UNAUTHORIZED"
    wrapper.close()
    server.close()


@pytest.mark.parametrize(
    ("name", "gone", "kept"), [("here", False, True), ("gone", True, False), ("odd\udcff", False, False)]
)
def test_a_session_is_to_be_resumed_where_its_program_stands_if_that_can_be(
    container: Container, world: World, tmp_path: Path, name: str, *, gone: bool, kept: bool
) -> None:
    world.thread("reader")
    where = tmp_path / name
    where.mkdir()
    with subprocess.Popen(["/bin/cat"], cwd=where, stdin=subprocess.PIPE) as program:
        if gone:
            where.rmdir()
        registrar = HostRegistrar(container, world.host)
        registrar.register(world.token("reader", "ses-reader"), "ses-reader", program.pid)
        program.kill()
    session = world.session("ses-reader")
    assert session is not None
    assert session["cwd"] == (str(where) if kept else None)
