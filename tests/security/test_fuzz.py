"""A thousand bent requests and a thousand from our own OpenAPI, the same each time. `make fuzz` goes on for longer."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from bridge.config import Settings
from bridge.db.migrate import prepare as prepare_database
from tests.security.conformance import conform
from tests.security.fuzz import Gun, bombard, known, prepare, tokens_of, unlimited
from tests.support.web import Mint, free_port, gunicorn

SHOTS = 1000


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


@pytest.fixture
def mint(settings: Settings) -> Mint:
    return Mint(settings)


@pytest.fixture
def web(settings: Settings, mint: Mint) -> Iterator[httpx.Client]:
    prepare_database(settings.database_url_in_force)
    del mint  # the keys are there before the web is
    with gunicorn(settings) as client:
        yield client


def test_no_input_gives_a_500(web: httpx.Client, mint: Mint) -> None:
    shots = itertools.islice(Gun(1, mint, prepare(web, mint)).shots(), SHOTS)
    counted, bad = bombard(web, shots, lambda: True)
    assert bad == []
    assert counted.total() == SHOTS
    assert counted[200] + counted[201] > SHOTS / 20


def test_every_answer_is_one_that_our_openapi_promises(web: httpx.Client, mint: Mint) -> None:
    ids = known(prepare(web, mint))
    url = str(web.base_url).rstrip("/")
    verdict = conform(url, tokens_of(mint), ids, requests_wanted=SHOTS, with_seed=1)
    assert verdict.failures == {}
    assert verdict.counted.total() >= SHOTS * 0.9
    assert verdict.counted[200] + verdict.counted[201] > SHOTS / 20
    assert verdict.counted[429] == 0
