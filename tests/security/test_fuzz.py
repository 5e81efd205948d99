"""A thousand bent requests, the same each time: none answers 5xx. `make fuzz` shoots for longer, with any seed."""

from __future__ import annotations

import itertools
from pathlib import Path
from tempfile import TemporaryDirectory

from bridge.config import Settings
from bridge.db.migrate import prepare as prepare_database
from tests.security.fuzz import Gun, bombard, prepare
from tests.support.web import Mint, free_port, gunicorn

SHOTS = 1000


def test_no_input_gives_a_500(database_url: str, broker_url: str) -> None:
    with TemporaryDirectory(prefix="wb-") as folder:
        settings = Settings(
            data_dir=Path(folder), database_url=database_url, broker_url=broker_url, port=free_port()
        )
        prepare_database(settings.database_url_in_force)
        mint = Mint(settings)
        with gunicorn(settings) as client:
            shots = itertools.islice(Gun(1, mint, prepare(client, mint)).shots(), SHOTS)
            counted, bad = bombard(client, shots, lambda: True)
    assert bad == []
    assert counted.total() == SHOTS
    assert counted[200] + counted[201] > SHOTS / 20
