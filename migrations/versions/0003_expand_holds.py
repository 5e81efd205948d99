"""Holds: until when a session is to be left alone, who said so and why, and wakes that wait for it: expand only.

Revision 0003, after 0002. Code of 0002 runs on it as long as nobody holds a session: it knows no wake that is `held`.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

OLD = (
    "reason IN ('first', 'listening', 'backoff', 'fallback', 'human', 'busy', 'rate', 'slot', 'seat', 'host', "
    "'paused', 'unreachable', 'slowed')"
)
NEW = (
    "reason IN ('first', 'listening', 'backoff', 'fallback', 'human', 'busy', 'rate', 'slot', 'seat', 'host', "
    "'paused', 'held', 'unreachable', 'slowed')"
)


def upgrade() -> None:
    op.add_column("sessions", sa.Column("held_until", sa.DateTime(timezone=True), nullable=True))
    for name in ("held_by", "held_why"):
        op.add_column("sessions", sa.Column(name, sa.Text(), nullable=True))
    op.create_check_constraint(
        op.f("ck_sessions_held_by_somebody"), "sessions", "(held_until IS NULL) = (held_by IS NULL)"
    )
    _reasons(NEW)


def _reasons(check: str) -> None:
    op.drop_constraint(op.f("ck_wakes_reason"), "wakes", type_="check")
    op.create_check_constraint(op.f("ck_wakes_reason"), "wakes", check)


def downgrade() -> None:
    op.execute("UPDATE wakes SET reason = 'fallback' WHERE reason = 'held'")
    _reasons(OLD)
    op.drop_constraint(op.f("ck_sessions_held_by_somebody"), "sessions", type_="check")
    for name in ("held_why", "held_by", "held_until"):
        op.drop_column("sessions", name)
