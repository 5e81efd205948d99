"""Escalations: who escalated a thread, to whom, why and since when: expand only.

Revision 0006, after 0005. Code of 0003 runs on it: it says only that a thread is escalated.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

NAMES = ("escalated_by", "escalated_to", "escalated_why")
CHECK = (
    "(escalated_by IS NULL) = (escalated_why IS NULL) AND (escalated_by IS NULL) = (escalated_at IS NULL)"
    " AND (escalated_to IS NULL OR escalated_by IS NOT NULL) AND (escalated_by IS NULL OR escalated)"
)


def upgrade() -> None:
    for name in NAMES:
        op.add_column("threads", sa.Column(name, sa.Text(), nullable=True))
    op.add_column("threads", sa.Column("escalated_at", sa.DateTime(timezone=True), nullable=True))
    op.create_check_constraint(op.f("ck_threads_escalation"), "threads", CHECK)


def downgrade() -> None:
    op.drop_constraint(op.f("ck_threads_escalation"), "threads", type_="check")
    for name in ("escalated_at", *reversed(NAMES)):
        op.drop_column("threads", name)
