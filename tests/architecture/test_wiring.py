"""What must be joined up: queues with workers, ticks with tasks, tasks with functions, SQL with migrations.

Each check is a function of values, so that it is shown a gap as well as the house as it is.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

from bridge.config import Settings
from bridge.ports.tasks import FIXED_QUEUES, TICK_TASKS, TaskName, host_queue
from bridge.stack.services import service_commands
from tasks.app import make_celery
from tasks.beat import TICKS

ROOT = Path(__file__).parents[2]
LIVE_SQL = ROOT / "bridge/db/sql"
FROZEN_SQL = ROOT / "migrations/versions/sql"


def unconsumed(queues: Iterable[str], commands: Iterable[list[str]]) -> set[str]:
    """Queues that no worker's command names after `-Q`."""
    consumed = {
        queue
        for command in commands
        if "-Q" in command
        for queue in command[command.index("-Q") + 1].split(",")
    }
    return set(queues) - consumed


def stale_sql(live: Path, frozen: Path) -> set[str]:
    """Live SQL files whose newest frozen copy, the one the last migration ran, says something else."""
    newest: dict[str, str] = {}
    for path in sorted(frozen.glob("*.sql")):
        newest[re.sub(r"^\d+_", "", path.name)] = path.read_text(encoding="utf-8")
    return {
        path.name for path in live.glob("*.sql") if newest.get(path.name) != path.read_text(encoding="utf-8")
    }


def heads(folder: Path) -> list[str]:
    """The migrations that nothing comes after."""
    config = Config()
    config.set_main_option("script_location", str(folder))
    return list(ScriptDirectory.from_config(config).get_heads())


def test_every_queue_is_consumed() -> None:
    queues = [*FIXED_QUEUES, host_queue("local")]
    assert unconsumed(queues, service_commands().values()) == set()


def test_an_unconsumed_queue_is_found() -> None:
    assert unconsumed(["timers", "notify"], [["celery", "-Q", "timers,reports"], ["beat"]]) == {"notify"}


def test_every_tick_is_rung_by_beat() -> None:
    assert {tick.name for tick in TICKS} == TICK_TASKS


def test_every_task_name_has_its_task(tmp_path: Path) -> None:
    app = make_celery(Settings(data_dir=tmp_path))
    assert {name.value for name in TaskName} <= set(app.tasks)


def test_there_is_one_newest_migration() -> None:
    assert len(heads(ROOT / "migrations")) == 1


def test_two_newest_migrations_are_found(tmp_path: Path) -> None:
    (tmp_path / "versions").mkdir()
    for name, down in (("0001", None), ("0002", "0001"), ("0003", "0001")):
        text = f"revision = {name!r}\ndown_revision = {down!r}\n"
        (tmp_path / "versions" / f"{name}.py").write_text(text, encoding="utf-8")
    assert len(heads(tmp_path)) == 2


def test_the_newest_migration_froze_the_sql_as_it_is() -> None:
    assert stale_sql(LIVE_SQL, FROZEN_SQL) == set()


def test_sql_that_no_migration_froze_is_found(tmp_path: Path) -> None:
    live, frozen = tmp_path / "live", tmp_path / "frozen"
    live.mkdir()
    frozen.mkdir()
    (live / "post.sql").write_text("new", encoding="utf-8")
    (live / "clock.sql").write_text("same", encoding="utf-8")
    (frozen / "0001_post.sql").write_text("new", encoding="utf-8")
    (frozen / "0002_post.sql").write_text("old", encoding="utf-8")
    (frozen / "0001_clock.sql").write_text("same", encoding="utf-8")
    assert stale_sql(live, frozen) == {"post.sql"}
