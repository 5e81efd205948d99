"""What the audit costs a post: the real statement against itself without its audit part.

How: two databases of one cluster. The other one's functions are made here from the product's, without the hashes, and
it has no index for anchors. 32 sessions post into a thread of their own each, in a loop on the server that commits each
post, so that no client's time hides the difference. Five pairs, in slices of a second that take turns (A B B A), so
that what else the machine does meets both; and the median of their ratios.
"""

from __future__ import annotations

import json
import re
import statistics
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, pool, text

import bridge.db
from bridge.core.policy import Policy
from bridge.db.thread_store import post_numbers
from bridge.stack.servers import embedded_servers
from tests.support.postgres import fresh_database, make_template

CLIENTS = 32
PAIRS = 5
SLICE_S = 1.0
TURNS = 4
POST_SQL = Path(bridge.db.__file__).parent / "sql" / "post.sql"
HASHES = re.compile(r"message_head = sha256\(.*?\),\n(?=\s+updated_at = p_now)", re.DOTALL)

_ARRANGE = """
INSERT INTO workspaces (workspace_id, created_at) VALUES ('w', bridge_now());
INSERT INTO agents (workspace_id, agent_id, created_at, updated_at)
    SELECT 'w', a, bridge_now(), bridge_now() FROM unnest(ARRAY['alice', 'bob']) a;
INSERT INTO threads (thread_id, workspace_id, title, type, status, participants, progress_at, created_by, created_at,
        updated_at)
    SELECT 'th_' || i, 'w', 't', 'workflow', 'active', 2, bridge_now(), 'alice', bridge_now(), bridge_now()
    FROM generate_series(1, {clients}) i;
INSERT INTO participants (thread_id, agent_id, workspace_id, joined_at)
    SELECT 'th_' || i, a, 'w', bridge_now()
    FROM generate_series(1, {clients}) i, unnest(ARRAY['alice', 'bob']) a;
"""
_POST = """
DO $$
DECLARE
    i int := 0;
    v_ends timestamptz := clock_timestamp() + interval '{seconds} s';
BEGIN
    WHILE clock_timestamp() < v_ends LOOP
        i := i + 1;
        PERFORM bridge_post('w', 'th_{client}', '{message}'::jsonb || jsonb_build_object('message_id',
            'msg_{batch}_{client}_' || i), ARRAY['wake_{batch}_{client}_' || i], 'post', NULL, NULL, '{policy}'::jsonb);
        COMMIT;
    END LOOP;
END $$
"""
_MESSAGE = {
    "schema_version": 1,
    "kind": "chat",
    "body": "x" * 200,
    "metadata": {"of": "bench"},
    "sender": "alice",
    "session": "ses_alice",
    "request_id": "req_0199aabbccddeeff",
    "to": None,
}


def without_audit(sql: str) -> str:
    """The functions of a post without the hashes. Raises AssertionError when there is nothing to take away."""
    bare, taken = HASHES.subn("message_head = NULL,\n", sql)
    assert taken == 1, "the post's hashes are not where this bench takes them from"
    assert "sha256" not in bare
    return bare.replace(
        "p_message->>'traceparent', p_now, v_head);", "p_message->>'traceparent', p_now, '\\x');"
    )


def measure(say: Callable[[str], None]) -> dict[str, Any]:
    """Posts a second with and without, and their ratio, pair by pair."""
    with (
        tempfile.TemporaryDirectory(prefix="wb-", ignore_cleanup_errors=True) as folder,
        embedded_servers(Path(folder)) as servers,
        fresh_database(servers.database_url, make_template(servers.database_url)) as real_url,
        fresh_database(servers.database_url) as bare_url,
    ):
        found = _compare(_arranged(real_url, bare=False), _arranged(bare_url, bare=True), say)
    say(
        f"{CLIENTS} clients, own threads: {found['posts_per_s']:.0f} posts/s, without the audit part "
        f"{found['without_per_s']:.0f}: {found['ratio']:.3f} of it (median of {PAIRS}; promised: at least 0.9)"
    )
    return found


def _compare(real: Engine, bare: Engine, say: Callable[[str], None]) -> dict[str, Any]:
    pairs: list[tuple[float, float]] = []
    for number in range(PAIRS + 1):
        posted = {real: 0, bare: 0}
        for turn in range(TURNS):
            for engine in (real, bare) if turn % 2 else (bare, real):
                posted[engine] += _posts(engine, f"{number}-{turn}")
        if number:  # the first pair warms up
            one, other = (posted[engine] / (SLICE_S * TURNS) for engine in (real, bare))
            pairs.append((one, other))
            say(f"pair {number}: {one:.0f} posts/s, without {other:.0f}")
    real.dispose()
    bare.dispose()
    return {
        "posts_per_s": round(statistics.median(pair[0] for pair in pairs), 1),
        "without_per_s": round(statistics.median(pair[1] for pair in pairs), 1),
        "ratio": round(statistics.median(pair[0] / pair[1] for pair in pairs), 4),
        "ratios": [round(one / other, 4) for one, other in pairs],
    }


def _arranged(url: str, *, bare: bool) -> Engine:
    engine = create_engine(url, poolclass=pool.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        driver.execute(_ARRANGE.format(clients=CLIENTS))
        if bare:
            driver.execute(without_audit(POST_SQL.read_text(encoding="utf-8")))
            driver.execute("DROP INDEX ix_messages_created")
    return engine


def _posts(engine: Engine, batch: str) -> int:
    """How many posts all clients together make in a slice."""

    def client(number: int) -> None:
        words = _POST.format(
            seconds=SLICE_S,
            client=number,
            batch=batch,
            message=json.dumps(_MESSAGE),
            policy=post_numbers(Policy()),
        )
        with engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            driver.execute("SET ROLE wakebridge_app; SET plan_cache_mode = force_generic_plan")
            driver.execute(words)

    before = _posted(engine)
    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(client, range(1, CLIENTS + 1)))
    return _posted(engine) - before


def _posted(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text("SELECT sum(last_seq) FROM threads")).scalar_one())
