"""How long a revoked token is let in by another web process than the one that revoked it.

Rules of this file:

- Two real web processes over one database; all is revoked in the one and asked for in the other, without a pause.
- Each time counts from when the revocation was asked for, so that its own answer is a part of it.
- The other process's copy of the denylist is of any age when it begins: a random wait sees to that.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from bridge.adapters.tokens import DENYLIST_AGE_S_MAX
from bridge.config import Settings
from bridge.core.states import Role
from bridge.stack.servers import embedded_servers
from tests.benchmarks.world import Figures
from tests.support.postgres import Owner, fresh_database, make_template
from tests.support.web import Mint, free_port, gunicorn

TIMES = 50
SECONDS_MAX = 10.0
PHASE_S_MAX = DENYLIST_AGE_S_MAX

Say = Callable[[str], None]


def measure(say: Say) -> dict[str, Any]:
    """From the asking to the first refusal elsewhere, for a token, a session, an agent in turn."""
    with TemporaryDirectory(prefix="wb-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        with embedded_servers(home) as servers:
            template = make_template(servers.database_url)
            with fresh_database(servers.database_url, template) as url:
                settings = Settings(
                    data_dir=home / "data",
                    run_dir=home / "a",
                    database_url=url,
                    broker_url=servers.broker_url,
                    port=free_port(),
                    web_workers=1,
                )
                found = _two(settings, home / "b")
    say(
        f"revocation: {found['n']} times, refused by the other process p50 {found['p50_ms']:.0f} ms, p95 "
        f"{found['p95_ms']:.0f} ms, at most {found['max_ms']:.0f} ms after it was asked for"
    )
    return found


def _two(settings: Settings, other_run_dir: Path) -> dict[str, float]:
    owner = Owner(str(settings.database_url))
    owner.run("INSERT INTO workspaces VALUES ('ws_1', bridge_now())")
    owner.close()
    mint = Mint(settings)
    beside = settings.model_copy(update={"port": free_port(), "run_dir": other_run_dir})
    figures, phase = Figures(), random.Random(1)
    with gunicorn(settings) as first, gunicorn(beside) as second:
        boss = {"Authorization": f"Bearer {mint.token('boss', Role.OPERATOR)}"}
        for number in range(TIMES):
            name = f"agent-{number}"
            token = {"Authorization": f"Bearer {mint.token(name, jti=f'jti-{number}')}"}
            named = ({"jti": f"jti-{number}"}, {"session_id": f"ses_{name}"}, {"agent_id": name})[number % 3]
            second.get("/v1/inbox", headers=token).raise_for_status()
            time.sleep(phase.uniform(0, PHASE_S_MAX))
            began = time.monotonic()
            first.post("/v1/tokens/revocations", json=named, headers=boss).raise_for_status()
            _until_refused(second, token, began)
            figures.samples.append(time.monotonic() - began)
    return figures.told()


def _until_refused(web: httpx.Client, token: dict[str, str], began: float) -> None:
    while web.get("/v1/inbox", headers=token).status_code != httpx.codes.UNAUTHORIZED:
        if time.monotonic() - began > SECONDS_MAX:
            raise AssertionError("it is let in all the same")
