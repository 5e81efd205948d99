"""The app in this process, over this test's own database, with a workspace that is served."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from flask import Flask

from bridge.adapters.limits import Limits
from bridge.adapters.pubsub import Listeners
from bridge.adapters.tokens import JwtTokens, tokens_of
from bridge.bootstrap import Deps, build
from bridge.config import Settings
from bridge.core.states import Role
from bridge.db.revocation_store import revocations_loader
from bridge.ports.tokens import Revocations
from tests.support.postgres import Owner
from tests.support.web import Api, Mint
from tests.support.world import FixedPolicies
from web.app import create_app
from web.routing import Services
from web.watch import SecurityWatch


@pytest.fixture
def mint(settings: Settings) -> Mint:
    return Mint(settings)


@pytest.fixture
def tokens(settings: Settings, deps: Deps) -> JwtTokens:
    return tokens_of(settings, revocations_loader(deps.db))


@pytest.fixture
def services(settings: Settings, deps: Deps, tokens: JwtTokens, owner: Owner) -> Iterator[Services]:
    for workspace in ("default", "ws_1", "ws_2"):
        owner.run(
            "INSERT INTO workspaces VALUES (:workspace, bridge_now()) ON CONFLICT DO NOTHING",
            workspace=workspace,
        )
    listeners = Listeners(settings.broker_url_in_force)
    yield Services(settings, deps, tokens, listeners, SecurityWatch(), Limits("amqp://nowhere"))
    listeners.close()


@pytest.fixture
def app(services: Services) -> Flask:
    return create_app(services)


@pytest.fixture
def api(app: Flask, mint: Mint) -> Callable[..., Api]:
    """`api("alice", Role.OPERATOR, workspace="ws_2")`; `api(None)` calls without a token."""

    def of(agent_id: str | None = "alice", role: Role = Role.PARTICIPANT, **other: object) -> Api:
        token = None if agent_id is None else mint.token(agent_id, role, **other)
        return Api(app.test_client(), token)

    return of


@pytest.fixture(scope="module")
def app_calls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Api]]:
    """As `api`, over no database at all: for what is refused before one is asked. Workspace ws_1 is served."""
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("nowhere"), database_url="postgresql://nobody@/none?host=/none"
    )
    mint = Mint(settings)
    container = build(settings, process="web")
    tokens = tokens_of(settings, lambda _workspace: Revocations())
    listeners = Listeners("amqp://nowhere")
    deps = replace(container.deps, policies=FixedPolicies())
    flask = create_app(Services(settings, deps, tokens, listeners, SecurityWatch(), Limits("amqp://nowhere")))

    def of(agent_id: str | None = "alice", role: Role = Role.PARTICIPANT) -> Api:
        return Api(flask.test_client(), None if agent_id is None else mint.token(agent_id, role))

    yield of
    container.close()
