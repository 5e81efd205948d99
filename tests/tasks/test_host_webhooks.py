"""A host that holds its services: a real database, real HTTP, the host's own steps; and once through the processes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from bridge.bootstrap import Container
from bridge.commands.attach_session import attach_session
from bridge.commands.detach_session import detach_session
from bridge.commands.move_cursor import move_cursor
from bridge.commands.put_agent import put_agent
from bridge.core.caller import Caller
from bridge.core.states import Evidence, Role, WaitReason
from bridge.ports.runtime import Line, SessionRef
from bridge.ports.tasks import TaskName
from bridge.queries.agents import AgentView, get_agent
from bridge.queries.hosts import get_host
from bridge.queries.notices import list_notices
from bridge.queries.wake_story import explain_wake
from tasks.base import Scope
from tasks.deliver_wake import deliver_wake
from tasks.host import RETURN_S, Host
from tests.support.receiver import Receiver, receiving, says, webhook_preset
from tests.tasks.world import World, until


class Site:
    """This test's host, stepped by hand, and an operator."""

    def __init__(self, world: World, scope: Scope) -> None:
        self.world, self.scope = world, scope
        self.host = Host(scope)
        self.presets = scope.settings.presets_dir
        self.operator = Caller(world.workspace, "olivia", Role.OPERATOR, "ses-olivia")

    @property
    def container(self) -> Container:
        return self.world.container

    def bind(self, agent_id: str, **fields: Any) -> None:  # noqa: ANN401 - the command's own fields
        """What an operator's PUT does."""
        put_agent(self.container.deps, self.operator, agent_id, **fields)

    def look(self) -> None:
        """One step of the host, in which it looks at its services."""
        self.host.step()
        self.host.webhooks.look(now=True)

    def agent(self, agent_id: str = "reader") -> AgentView:
        return get_agent(self.container.deps, self.operator, agent_id)

    def seat(self, agent_id: str = "reader") -> tuple[str | None, bool]:
        """The runtime that is in the seat, and whether it is attached."""
        agent = self.agent(agent_id)
        return agent.seat_runtime, agent.seat_attached

    def session(self) -> SessionRef:
        session_id = self.agent().seat_session_id
        assert session_id
        return SessionRef(self.world.workspace, "reader", session_id)

    def terms(self) -> list[int]:
        return [service.term for service in self.host.webhooks.services.all()]

    def wake(self, thread_id: str) -> str:
        return self.world.post(thread_id).wakes[0].wake_id

    def deliver(self, wake_id: str) -> str:
        """What the host's worker does when it is rung."""
        self.world.due(wake_id, -0.1)
        return deliver_wake(self.scope, self.world.workspace, wake_id, TaskName.WAKE_ATTEMPT)

    def notices(self) -> list[str]:
        return [notice.text for notice in list_notices(self.container.deps, self.operator).items]


@pytest.fixture(name="site")
def _site(world: World, tmp_path: Path) -> Iterator[Site]:
    presets = tmp_path / "presets"
    presets.mkdir(mode=0o700)
    scope = Scope(world.settings.model_copy(update={"presets_dir": presets}))
    scope.name("host")
    site = Site(world, scope)
    yield site
    site.host.close()
    scope.close()


@pytest.fixture(name="receiver")
def _receiver(site: Site) -> Iterator[Receiver]:
    """`reader` is bound to the preset `billing`, which tells this receiver."""
    site.world.thread("reader")
    with receiving() as receiver:
        webhook_preset(site.presets, receiver.url)
        site.bind("reader", preset="billing")
        yield receiver


def test_a_wake_is_posted_read_and_acked(site: Site, receiver: Receiver) -> None:
    site.look()
    thread = site.world.thread("reader")
    wake = site.wake(thread)
    assert site.deliver(wake) == "waiting: accepted"
    (got,) = receiver.got
    assert got.headers["webhook-id"] == wake
    said = got.verified()["data"]
    assert said == {
        "wake_id": wake,
        "agent_id": "reader",
        "workspace_id": site.world.workspace,
        "unread": 1,
        "threads": 1,
    }
    assert site.world.wake(wake)["accepted_at"]
    shown = [
        step.detail["by"]
        for step in explain_wake(site.container.deps, site.operator, wake).steps
        if step.detail and "by" in step.detail
    ]
    assert shown == ["http"]
    reader = Caller(site.world.workspace, "reader", Role.PARTICIPANT, "ses-of-the-service")
    move_cursor(site.container.deps, reader, thread, 1)
    assert site.world.wake(wake)["state"] == "acked"


def test_it_is_shown_as_what_it_is(site: Site, receiver: Receiver) -> None:
    del receiver
    site.look()
    agent = site.agent()
    assert (agent.seat_runtime, agent.seat_attached, agent.seat_status) == ("webhook", True, "idle")
    site.look()
    home = Caller("default", "olivia", Role.OPERATOR, "ses-olivia")
    assert get_host(site.container.deps, home, site.world.host).presets["billing"] == ["live"]


def test_a_failed_try_is_made_again_with_the_same_id(site: Site, receiver: Receiver) -> None:
    receiver.answers = [says(500), says(200)]
    site.look()
    wake = site.wake(site.world.thread("reader"))
    assert site.deliver(wake) == "waiting: unverified"
    assert "HTTP 500" in site.world.wake(wake)["why"]
    assert site.deliver(wake) == "pending: backoff"
    assert site.deliver(wake) == "waiting: accepted"
    assert [got.headers["webhook-id"] for got in receiver.got] == [wake, wake]
    assert site.world.wake(wake)["tried_live"] == 2


def test_asked_to_wait_it_waits_and_no_try_is_burnt(site: Site, receiver: Receiver) -> None:
    receiver.answers = [says(429, "Retry-After: 30\r\n")]
    site.look()
    wake = site.wake(site.world.thread("reader"))
    site.deliver(wake)
    site.deliver(wake)
    row = site.world.wake(wake)
    assert (row["state"], row["reason"], row["tried_live"], len(receiver.got)) == ("pending", "busy", 0, 1)


class TestHowLongItIsHeld:
    def test_looking_again_changes_nothing(self, site: Site, receiver: Receiver) -> None:
        del receiver
        for _ in range(3):
            site.look()
        assert site.terms() == [1]

    def test_a_worker_that_starts_anew_goes_on_with_it(self, site: Site, receiver: Receiver) -> None:
        site.look()
        site.host.close()
        scope = Scope(site.scope.settings)
        scope.name("another")
        again = Site(site.world, scope)
        again.look()
        assert again.terms() == [1]
        assert again.deliver(again.wake(site.world.thread("reader"))) == "waiting: accepted"
        assert len(receiver.got) == 1
        again.host.close()
        scope.close()

    def test_reconciling_lets_it_be(self, site: Site, receiver: Receiver) -> None:
        del receiver
        site.look()
        for _ in range(3):
            site.host._since -= RETURN_S + 1
            site.host.step()
        assert (site.seat(), site.terms()) == (("webhook", True), [1])

    def test_reconciling_ends_what_no_preset_holds_any_more(self, site: Site, receiver: Receiver) -> None:
        """The worker was away while the preset was taken away."""
        del receiver
        site.look()
        site.host.webhooks.services.let_go(site.host.webhooks.services.all()[0])
        (site.presets / "billing.toml").unlink()
        for _ in range(2):
            site.host._since -= RETURN_S + 1
            site.host.step()
        assert site.seat() == ("webhook", False)

    @pytest.mark.parametrize(
        "fields", [{"preset": "other"}, {"disabled": True}, {"host": "elsewhere"}], ids=str
    )
    def test_it_ends_with_the_binding_and_comes_back_with_it(
        self, site: Site, receiver: Receiver, fields: dict[str, Any]
    ) -> None:
        del receiver
        site.look()
        site.bind("reader", **fields)
        site.look()
        assert (site.seat(), site.terms()) == (("webhook", False), [])
        site.bind("reader", preset="billing", disabled=False, host=site.world.host)
        site.look()
        assert (site.seat(), site.terms()) == (("webhook", True), [2])

    def test_it_ends_with_the_preset_and_comes_back_with_it(self, site: Site, receiver: Receiver) -> None:
        site.look()
        (site.presets / "billing.toml").unlink()
        site.look()
        assert site.seat() == ("webhook", False)
        webhook_preset(site.presets, receiver.url)
        site.look()
        assert site.seat() == ("webhook", True)

    def test_a_preset_that_changes_counts_at_once(self, site: Site, receiver: Receiver) -> None:
        site.look()
        with receiving() as other:
            webhook_preset(site.presets, other.url)
            site.look()
            assert site.deliver(site.wake(site.world.thread("reader"))) == "waiting: accepted"
        assert (receiver.connections, other.connections, site.terms()) == (0, 1, [1])

    def test_detached_by_others_it_is_attached_anew(self, site: Site, receiver: Receiver) -> None:
        del receiver
        site.look()
        detach_session(site.container.deps, site.world.workspace, site.session().session_id, 1, "not seen")
        site.look()
        assert (site.seat(), site.terms()) == (("webhook", True), [2])

    def test_moved_meanwhile_it_is_not_taken_back(self, site: Site, receiver: Receiver) -> None:
        """The look read the binding, then an operator moved the agent: the look must not undo that."""
        del receiver
        found = site.container.services.bound(site.world.host, ["billing"])[0]
        site.bind("reader", host="elsewhere")
        site.host.step()
        site.host.webhooks._keep(None, found, site.host.webhooks._catalogue.webhooks()["billing"])
        assert (site.agent().host, site.seat(), site.terms()) == ("elsewhere", (None, False), [])

    def test_every_workspace_has_its_own(self, site: Site, receiver: Receiver, container: Container) -> None:
        other = World(container, "-b")
        thread = other.thread("reader")
        put_agent(
            container.deps, Caller(other.workspace, "o", Role.OPERATOR, "s"), "reader", preset="billing"
        )
        site.look()
        assert len(site.terms()) == 2
        wake = other.post(thread).wakes[0].wake_id
        other.due(wake, -0.1)
        assert deliver_wake(site.scope, other.workspace, wake, TaskName.WAKE_ATTEMPT) == "waiting: accepted"
        assert receiver.got[0].verified()["data"]["workspace_id"] == other.workspace
        other.close()


class TestATerminal:
    def test_it_wins_the_seat_and_keeps_it(self, site: Site, receiver: Receiver) -> None:
        site.look()
        world = site.world
        term = attach_session(
            site.container.deps, world.workspace, "reader", "ses-tty", host=world.host, pid=1, runtime="pty"
        )
        site.look()
        assert site.seat() == ("pty", True)
        probed = site.host.runtime.probe(SessionRef(world.workspace, "reader", "ses-tty"), quiet_s=0)
        assert not probed.here
        detach_session(site.container.deps, world.workspace, "ses-tty", term, "its terminal hung up")
        site.look()
        assert site.seat() == ("webhook", True)
        assert site.deliver(site.wake(world.thread("reader"))) == "waiting: accepted"
        assert len(receiver.got) == 1

    def test_a_services_own_heartbeats_do_not_take_it(self, site: Site, receiver: Receiver) -> None:
        """It may say that it lives, with the session of its token, before it is held here or after."""
        del receiver
        world = site.world
        with site.container.db.unit(world.workspace) as uow:
            uow.run(_HEARTBEAT)
        site.look()
        assert site.seat() == ("webhook", True)


class TestGone:
    def test_it_is_let_go_and_operators_are_told(self, site: Site, receiver: Receiver) -> None:
        receiver.answers = [says(410)]
        site.look()
        wake = site.wake(site.world.thread("reader"))
        site.deliver(wake)
        assert site.world.wake(wake)["state"] == "pending"
        site.look()
        site.look()
        assert (site.seat(), site.terms(), len(receiver.got)) == (("webhook", False), [], 1)
        assert [text for text in site.notices() if "HTTP 410" in text and "reader" in text]

    def test_it_is_tried_again_when_its_binding_changed(self, site: Site, receiver: Receiver) -> None:
        receiver.answers = [says(410), says(200)]
        site.look()
        site.host.runtime.hand_over(site.session(), Line("wake_1", "text"))
        site.look()
        site.bind("reader", preset="other")
        site.look()
        site.bind("reader", preset="billing")
        site.look()
        assert site.host.runtime.hand_over(site.session(), Line("wake_1", "")).evidence is Evidence.ACCEPTED

    def test_it_is_tried_again_when_its_preset_changed(self, site: Site, receiver: Receiver) -> None:
        receiver.answers = [says(410), says(200)]
        site.look()
        site.host.runtime.hand_over(site.session(), Line("wake_1", "text"))
        site.look()
        webhook_preset(site.presets, receiver.url, timeout_s=9)
        site.look()
        assert site.seat() == ("webhook", True)
        assert site.host.runtime.hand_over(site.session(), Line("wake_1", "")).evidence is Evidence.ACCEPTED


def test_a_secret_that_others_may_read_is_waited_for(site: Site, receiver: Receiver) -> None:
    site.look()
    (site.presets / "billing.secret").chmod(0o644)
    wake = site.wake(site.world.thread("reader"))
    assert site.deliver(wake) == f"pending: {WaitReason.HOST.value}"
    assert str(site.presets) not in site.world.wake(wake)["why"]
    (site.presets / "billing.secret").chmod(0o600)
    until(lambda: site.deliver(wake) == "waiting: accepted", "the wake told")
    assert receiver.connections == 1


_HEARTBEAT = text("""
WITH s AS (INSERT INTO sessions (workspace_id, session_id, agent_id, runtime, status, heartbeat_at, created_at,
        updated_at)
    SELECT workspace_id, 'ses-own', agent_id, 'command', 'active', bridge_now(), bridge_now(), bridge_now()
    FROM agents WHERE agent_id = 'reader')
UPDATE agents SET seat_session_id = 'ses-own' WHERE agent_id = 'reader'
""")
