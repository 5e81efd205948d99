"""Revocation: by token, session and agent; in force at once here, within a second elsewhere, and after a restart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from bridge.adapters.tokens import Denylist
from bridge.config import Settings
from bridge.core.errors import OutOfScopeWorkspace, TokenRevoked, Unavailable
from bridge.core.states import Role
from bridge.ports.tokens import Claims, Revocations
from tests.security.forging import Hand
from tests.stack.running import until
from tests.support.postgres import Owner
from tests.support.web import Mint, free_port, gunicorn

CLAIMS = Claims("alice", "ws_1", Role.PARTICIPANT, "ses_1", "jti_1", iat=100.0, exp=200.0)


@pytest.mark.parametrize(
    ("revoked", "is_in"),
    [
        (Revocations(), True),
        (Revocations(jtis=frozenset({"jti_1"})), False),
        (Revocations(jtis=frozenset({"jti_2"})), True),
        (Revocations(sessions=(("ses_1", 100.0),)), False),
        (Revocations(sessions=(("ses_1", 99.9),)), True),
        (Revocations(agents=(("alice", 150.0),)), False),
        (Revocations(agents=(("bob", 150.0),)), True),
    ],
)
def test_what_is_revoked_is_refused_and_what_is_made_later_is_not(
    revoked: Revocations, *, is_in: bool
) -> None:
    assert revoked.forbid(CLAIMS) is not is_in


def test_the_denylist_is_read_again_soon_and_not_at_each_use() -> None:
    clock, answers = Hand(), [Revocations(), Revocations(jtis=frozenset({"jti_1"}))]
    denylist = Denylist(lambda _workspace: answers.pop(0), clock=clock)
    denylist.check(CLAIMS)
    clock.now += 0.3
    denylist.check(CLAIMS)
    clock.now += 0.2
    with pytest.raises(TokenRevoked):
        denylist.check(CLAIMS)


def test_a_denylist_that_cannot_be_read_lets_nobody_in() -> None:
    clock = Hand()
    answers: list[Callable[[], Revocations]] = [Revocations]

    def load(_workspace: str) -> Revocations:
        if not answers:
            raise Unavailable
        return answers.pop()()

    denylist = Denylist(load, clock=clock)
    denylist.check(CLAIMS)
    clock.now += 1.1
    with pytest.raises(Unavailable):
        denylist.check(CLAIMS)


def test_a_workspace_that_is_not_served_is_out_of_scope() -> None:
    with pytest.raises(OutOfScopeWorkspace):
        Denylist(lambda _workspace: Revocations(served=False)).check(CLAIMS)


# --- two web processes --------------------------------------------------------------------------------------


@pytest.fixture
def settings(database_url: str, broker_url: str) -> Iterator[Settings]:
    with TemporaryDirectory(prefix="wb-") as folder:  # a socket's path must be short
        yield Settings(
            data_dir=Path(folder),
            database_url=database_url,
            broker_url=broker_url,
            port=free_port(),
            web_workers=1,
        )


def test_what_one_process_revokes_the_other_refuses_and_after_a_restart_too(
    settings: Settings, owner: Owner
) -> None:
    owner.run("INSERT INTO workspaces VALUES ('ws_1', bridge_now())")
    mint = Mint(settings)
    boss = bearer(mint.token("boss", Role.OPERATOR))
    beside = settings.model_copy(update={"port": free_port(), "run_dir": settings.data_dir / "b"})
    named = {"jti": "jti_1", "session_id": "ses_2", "agent_id": "carol"}
    tokens = {
        "jti": bearer(mint.token("alice", jti="jti_1")),
        "session_id": bearer(mint.token("bob", session_id="ses_2")),
        "agent_id": bearer(mint.token("carol")),
    }
    with gunicorn(settings) as first:
        with gunicorn(beside) as second:
            for kind, value in named.items():
                assert second.get("/v1/inbox", headers=tokens[kind]).is_success
                answer = first.post("/v1/tokens/revocations", json={kind: value, "reason": "x"}, headers=boss)
                assert answer.status_code == httpx.codes.CREATED, answer.text
                assert is_revoked(first, tokens[kind])
                until(partial(is_revoked, second, tokens[kind]), "a refusal there")
            assert second.get("/v1/inbox", headers=bearer(mint.token("dave"))).is_success
        with gunicorn(beside) as again:
            assert all(is_revoked(again, token) for token in tokens.values())


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def is_revoked(web: httpx.Client, headers: dict[str, str]) -> bool:
    return bool(web.get("/v1/inbox", headers=headers).json().get("code") == "TOKEN_REVOKED")
