"""A role that archives closed threads, and tries that outlive the thread they were made for: expand only.

Revision 0007, after 0006. Code of 0003 runs on it: nothing that it reads or writes is another.

One try may offer wakes of several threads. When the thread that it was made for is archived, it stays for the others,
so `attempts.wake_id` names a wake that need not be there any more.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent / "sql"


def upgrade() -> None:
    op.drop_constraint(op.f("fk_attempts_wake_id"), "attempts", type_="foreignkey")
    op.execute((SQL / "0007_archivist.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    op.execute(
        "DO $$ DECLARE p record; BEGIN FOR p IN SELECT policyname, tablename FROM pg_policies "
        "WHERE policyname IN ('archivist', 'archivist_reads') "
        "LOOP EXECUTE format('DROP POLICY %I ON %I', p.policyname, p.tablename); END LOOP; END $$"
    )
    op.execute("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM wakebridge_archivist")
    op.execute("REVOKE UPDATE (audit_n, audit_head) ON threads, wakes, runs FROM wakebridge_archivist")
    op.execute("REVOKE UPDATE (workspace_id) ON participants, findings, attempts FROM wakebridge_archivist")
    op.execute("REVOKE USAGE ON SCHEMA public FROM wakebridge_archivist")
    op.execute(
        "ALTER TABLE attempts ADD CONSTRAINT fk_attempts_wake_id FOREIGN KEY (wake_id) REFERENCES wakes NOT VALID"
    )
