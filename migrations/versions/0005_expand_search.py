"""Full text over messages, and indexes for lists that would read a whole table: expand only.

Revision 0005, after 0004. Code of 0003 runs on it: there are only new functions, policies and indexes.

An index on a table that grows is built CONCURRENTLY: posts go on meanwhile, however long it takes. That cannot be part of
a transaction, so every step may be done again: what a broken run left unfinished is dropped first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent / "sql"
INDEXES = {
    "ix_messages_search": (
        "messages USING gin (bridge_search_vector(workspace_id, thread_id, body, event)) "
        "WITH (gin_pending_list_limit = 256)"
    ),
}


def upgrade() -> None:
    driver: Any = op.get_bind().connection.driver_connection  # it reads neither % nor : in the text
    driver.execute((SQL / "0005_search.sql").read_text(encoding="utf-8"))
    with op.get_context().autocommit_block():
        op.execute("SET statement_timeout = 0")
        op.execute("SET lock_timeout = '60s'")
        for name, definition in INDEXES.items():
            if _is_broken(name):
                op.execute(f"DROP INDEX CONCURRENTLY {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {definition}")
        op.execute("SET statement_timeout = '60s'")
        op.execute("SET lock_timeout = '5s'")


def _is_broken(name: str) -> bool:
    """Whether a run before this one was ended while it built the index."""
    asked = sa.text("SELECT NOT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")
    return bool(op.get_bind().execute(asked, {"name": name}).scalar_one_or_none())


def downgrade() -> None:
    for name in INDEXES:
        op.execute(f"DROP INDEX IF EXISTS {name}")
    op.execute("DROP FUNCTION IF EXISTS bridge_search, bridge_search_vector, bridge_search_text")
    for table in ("messages", "participants", "threads"):
        op.execute(f"DROP POLICY IF EXISTS search ON {table}")
    op.execute("REVOKE ALL ON messages, participants, threads FROM wakebridge_search")
    op.execute("REVOKE ALL ON SCHEMA public FROM wakebridge_search")
