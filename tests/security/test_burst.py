"""Five hundred malformed posts of twenty kinds at once: one answer a kind, always. `make bench` fires ten thousand."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from bridge.config import Settings
from bridge.db.migrate import prepare as prepare_database
from tests.security.burst import KINDS, Kind, fire
from tests.security.fuzz import prepare, unlimited
from tests.support.postgres import Owner
from tests.support.web import Mint, free_port, gunicorn

ROUNDS = 25


@pytest.fixture
def settings(database_url: str, broker_url: str) -> Iterator[Settings]:
    with TemporaryDirectory(prefix="wb-") as folder:
        yield Settings(
            data_dir=Path(folder),
            database_url=database_url,
            broker_url=broker_url,
            policy_file=unlimited(Path(folder)),
            port=free_port(),
        )


def test_the_same_malformed_post_always_gets_the_same_4xx(settings: Settings, owner: Owner) -> None:
    prepare_database(settings.database_url_in_force)
    mint = Mint(settings)
    token = mint.token("alice")
    with gunicorn(settings) as web, ThreadPoolExecutor(4) as pool:
        path = f"/v1/threads/{prepare(web, mint)['thread_id'][0]}/messages"

        def shoot(kind: Kind) -> tuple[str, tuple[int, str, str]]:
            return kind.name, fire(web, path, token, kind)

        answers = list(pool.map(shoot, KINDS * ROUNDS))
        assert (
            web.get("/v1/inbox", headers={"Authorization": f"Bearer {token}"}).status_code == httpx.codes.OK
        )
    assert len(answers) == 500
    assert len(set(answers)) == len(KINDS) == 20
    assert {name: said[0] for name, said in answers} == {kind.name: kind.status for kind in KINDS}
    assert owner.value("SELECT count(*) FROM messages") == 1  # the one that was there
