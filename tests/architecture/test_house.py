"""The house rules that a machine can hold, and for each of them proof that it fails when it should.

A guard that was never seen to fail guards nothing: `PLANTED` has at least one violation for every guard, each
in a small tree of its own; `ALLOWED` has what comes close and must pass.
"""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from bridge.cli.app import COMMANDS
from tests.architecture.guards import calls, pages, purity, shape, sql, states

ROOT = Path(__file__).parents[2]
Guard = Callable[[Path], list[str]]

GUARDS: dict[str, Guard] = {
    "sizes": shape.sizes,
    "captions": shape.captions,
    "homes": shape.homes,
    "sends": calls.sends,
    "monotonic clocks": calls.monotonic_clocks,
    "sleeps": calls.sleeps,
    "commits": calls.commits,
    "drivers": calls.drivers,
    "patches": calls.patches,
    "clocks in SQL": sql.clocks,
    "sets of states": states.literal_sets,
    "core imports": purity.core_imports,
    "private words": pages.private_words,
    "lock": pages.lock,
    "errors": pages.errors,
    "decisions": pages.decisions,
    "make targets": pages.make_targets,
    "security": pages.security,
}

LONG_FUNCTION = "def f():\n" + "    x = 1\n" * 70
PARTS = "".join(f"{part}\n\n" for part in pages.ADR_PARTS)
ERROR = '"""Tree: Base, Gone."""\nclass Base(Exception):\n    """Base."""\n    code = "BASE"\n'
PROJECT = '[project]\ndependencies = ["flask>=3.1"]\n'
HASHED = "flask==3.1.3 \\\n    --hash=sha256:00\n"
THREAT = "| threat | control | shown by |\n|---|---|---|\n| thieves | a lock | {} |\n"
MAKE = ".PHONY: up\nup: setup  ## Start\n"

# guard, the files of a small tree, what the finding must say
PLANTED: list[tuple[str, dict[str, str], str]] = [
    ("sizes", {"bridge/a.py": LONG_FUNCTION}, "bridge/a.py:1: f has 71 lines"),
    ("sizes", {"web/a.py": "x = 1\n" * 401}, "401 lines"),
    ("sizes", {"tests/a.py": "class A:\n  async " + LONG_FUNCTION.replace("\n    ", "\n      ")}, "71 lines"),
    ("captions", {"bridge/db/__init__.py": "x = 1\n"}, "bridge/db/__init__.py"),
    ("captions", {"bridge/__init__.py": '"""B."""', "bridge/db/a.py": ""}, "bridge/db/: modules, but no"),
    ("homes", {"bridge/db/utils.py": ""}, "bridge/db/utils.py"),
    ("homes", {"tests/helpers/a.py": ""}, "tests/helpers/a.py"),
    ("sends", {"web/a.py": "t.delay(1)"}, ".delay()"),
    ("sends", {"bridge/commands/a.py": "def f(t):\n  t.s().apply_async()"}, "a.py:2"),
    ("sends", {"tasks/a.py": "app.send_task('x')"}, ".send_task()"),
    ("monotonic clocks", {"bridge/db/a.py": "import time\nx = time.monotonic()"}, "time.monotonic"),
    ("monotonic clocks", {"web/a.py": "from time import perf_counter as p"}, "time.perf_counter"),
    ("monotonic clocks", {"bridge/core/a.py": "def f(clock=time.monotonic_ns): ..."}, "time.monotonic_ns"),
    ("sleeps", {"tests/shell/test_a.py": "import time\ntime.sleep(1)"}, "test_a.py:2"),
    ("sleeps", {"tests/world.py": "from time import sleep"}, "time.sleep"),
    ("sleeps", {"tests/world.py": "async def f():\n  await asyncio.sleep(1)"}, "asyncio.sleep"),
    ("sleeps", {"tests/chaos/test_a.py": "time.sleep(1)"}, "time.sleep"),
    ("sleeps", {"tests/a.py": "def until(): ...\ndef test_a():\n  time.sleep(1)"}, "a.py:3"),
    ("commits", {"bridge/commands/a.py": "session.commit()"}, ".commit()"),
    ("commits", {"web/a.py": "self.session.commit()"}, ".commit()"),
    ("drivers", {"bridge/commands/a.py": "from sqlalchemy import text"}, "imports sqlalchemy"),
    ("drivers", {"tasks/a.py": "import psycopg.rows"}, "imports psycopg.rows"),
    ("patches", {"tests/a.py": "monkeypatch.setattr('bridge.db.uow.now', f)"}, "patches our own"),
    ("patches", {"tests/a.py": "from bridge.db import uow\nmonkeypatch.setattr(uow, 'now', f)"}, "a.py:2"),
    ("patches", {"tests/a.py": "with mock.patch('tasks.beat.x'): ..."}, "patches our own"),
    ("patches", {"tests/a.py": "import web.app\npatch.object(web.app, 'x')"}, "patches our own"),
    ("clocks in SQL", {"bridge/db/sql/post.sql": "SELECT 1;\nUPDATE t SET at = now();"}, "post.sql:2: now()"),
    ("clocks in SQL", {"migrations/versions/1.py": "text('select CURRENT_TIMESTAMP')"}, "CURRENT_TIMESTAMP"),
    ("clocks in SQL", {"bridge/db/a.py": "c(server_default='now()')"}, "now()"),
    ("clocks in SQL", {"bridge/queries/a.py": "x = sa.func.now()"}, "func.now"),
    ("clocks in SQL", {"bridge/queries/a.py": "f'''where due <= clock_timestamp ()'''"}, "clock_timestamp"),
    ("sets of states", {"tasks/a.py": "if wake.state in ('pending', 'waiting'): ..."}, "tasks/a.py:1"),
    ("sets of states", {"web/a.py": "x = status not in {State.A, State.B}"}, "web/a.py:1"),
    ("sets of states", {"bridge/queries/a.py": "q(T.state.in_(['pending', 'waiting']))"}, "queries/a.py:1"),
    ("core imports", {"bridge/core/a.py": "import attrs"}, "the core imports attrs"),
    ("core imports", {"bridge/core/a.py": "from pathlib import Path"}, "the core imports pathlib"),
    ("core imports", {"bridge/core/a.py": "from bridge.ports import ids"}, "the core imports bridge.ports"),
    ("private words", {"README.md": "as shar" + "ed/design.md says"}, "README.md:1"),
    ("private words", {"bridge/a.py": "# see is" + "sue 2"}, "bridge/a.py:1"),
    ("lock", {"requirements.lock": "flask==3.1.3\n"}, "requirements.lock: flask has no hash"),
    ("lock", {"requirements.lock": "--index-url https://x.example/\n" + HASHED}, "names a place"),
    ("lock", {"requirements.lock": HASHED + "# from file:///opt\n"}, "names a place"),
    ("lock", {"requirements.lock": HASHED.replace("3.1.3", "3.0.1")}, "flask>=3.1 is not in it"),
    ("lock", {"requirements-dev.lock": ""}, "requirements-dev.lock: flask>=3.1 is not in it"),
    (
        "errors",
        {"bridge/core/errors.py": ERROR + "class Gone(Base):\n    code = 'GONE'\n"},
        "Gone says nothing",
    ),
    (
        "errors",
        {"bridge/core/errors.py": ERROR + "class New(Base):\n    'x'\n"},
        "New is not in the drawn tree",
    ),
    (
        "errors",
        {"bridge/core/errors.py": ERROR + "class Gone(Base):\n    'x'\n    code = 'BASE'\n"},
        "two errors",
    ),
    ("errors", {"bridge/core/errors.py": ERROR, "docs/errors.md": "nothing"}, "BASE is missing"),
    ("decisions", {"docs/adr/0009-x.md": "Status: accepted\n" + PARTS}, "0009-x.md: not in"),
    ("decisions", {"docs/adr/README.md": "[x](0008-gone.md)"}, "0008-gone.md does not exist"),
    ("decisions", {"docs/adr/README.md": "[x](0009-x.md)", "docs/adr/0009-x.md": PARTS}, "no status"),
    (
        "decisions",
        {"docs/adr/README.md": "[x](0009-x.md)", "docs/adr/0009-x.md": "Status: accepted\n"},
        "no '## Context'",
    ),
    ("make targets", {"Makefile": MAKE + "down: x\n"}, "down has no line of help"),
    ("make targets", {"Makefile": MAKE + "down: x  ## Stop\n"}, "down is not .PHONY"),
    ("make targets", {"Makefile": MAKE, "README.md": "run `make demo`"}, "there is no `make demo`"),
    ("security", {"docs/security.md": THREAT.format("`tests/a.py::test_it`")}, "no tests/a.py::test_it"),
    (
        "security",
        {
            "docs/security.md": THREAT.format("`tests/a.py::TestX::test_it`"),
            "tests/a.py": "def test_it(): ...",
        },
        "there is no tests/a.py::TestX::test_it",
    ),
    ("security", {"docs/security.md": THREAT.format("trust us")}, "no test shows 'thieves'"),
    ("security", {"docs/security.md": THREAT.format("")}, "no test shows 'thieves'"),
]

ALLOWED: list[tuple[str, dict[str, str]]] = [
    ("security", {"docs/security.md": THREAT.format("not shown")}),
    (
        "security",
        {
            "docs/security.md": THREAT.format("`tests/a.py::TestX::test_it`, `tests/a.py::test_too`"),
            "tests/a.py": "def test_too(): ...\nclass TestX:\n  def test_it(self): ...",
        },
    ),
    ("sizes", {"bridge/a.py": "def f():\n" + "    x = 1\n" * 69, "migrations/versions/1.py": LONG_FUNCTION}),
    ("sends", {"bridge/adapters/celery_gateway.py": "t.delay(1)", "tasks/keeper.py": "a.send_task('x')"}),
    ("monotonic clocks", {"tasks/keeper.py": "time.monotonic()", "tests/a.py": "time.perf_counter()"}),
    (
        "sleeps",
        {"tests/terminal/programs/slow.py": "time.sleep(1)", "tests/stack/stand_in.py": "time.sleep(1)"},
    ),
    ("sleeps", {"tests/chaos/fleet.py": "time.sleep(1)", "tests/a.py": "def until():\n  time.sleep(1)"}),
    ("commits", {"bridge/db/uow.py": "self._session.commit()", "bridge/commands/a.py": "uow.commit()"}),
    (
        "patches",
        {"tests/a.py": "import os\nmonkeypatch.setattr(os, 'x', 1)\nmonkeypatch.setenv('BRIDGE_A', '1')"},
    ),
    (
        "clocks in SQL",
        {"bridge/db/sql/clock.sql": "SELECT clock_timestamp()", "bridge/db/sql/a.sql": "-- no now()"},
    ),
    ("clocks in SQL", {"bridge/a.py": '"""Never now()."""\nx = uow.now()\ny = "select bridge_now()"'}),
    (
        "sets of states",
        {"bridge/core/a.py": "if s.state in ('a', 'b'): ...", "web/a.py": "x.status in (200, 503)"},
    ),
    ("sets of states", {"web/a.py": "wake.state in FINAL"}),
    (
        "core imports",
        {"bridge/core/a.py": "from __future__ import annotations\nfrom datetime import datetime"},
    ),
    (
        "make targets",
        {"Makefile": MAKE + "LOCK := x\n", "README.md": "make up\nTo make things easy, `make up`"},
    ),
]


def build(root: Path, extra: dict[str, str]) -> Path:
    """A small tree in which every guard is content, and then these files."""
    good = {
        "pyproject.toml": PROJECT,
        "requirements.lock": HASHED,
        "requirements-dev.lock": HASHED,
        "Makefile": MAKE,
        "README.md": "",
        "CONTRIBUTING.md": "",
        "docs/adr/README.md": "",
        "docs/security.md": "",
        "bridge/core/errors.py": ERROR,
    }
    for name, text in (good | extra).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


@pytest.mark.parametrize("name", GUARDS)
def test_the_house_is_in_order(name: str) -> None:
    assert GUARDS[name](ROOT) == []


@pytest.mark.parametrize(
    ("name", "extra", "said"), PLANTED, ids=[f"{row[0]} {n}" for n, row in enumerate(PLANTED)]
)
def test_a_planted_violation_is_found(tmp_path: Path, name: str, extra: dict[str, str], said: str) -> None:
    found = GUARDS[name](build(tmp_path, extra))
    assert any(said in finding for finding in found), found


@pytest.mark.parametrize(("name", "extra"), ALLOWED, ids=[f"{row[0]} {n}" for n, row in enumerate(ALLOWED)])
def test_what_only_comes_close_is_let_through(tmp_path: Path, name: str, extra: dict[str, str]) -> None:
    assert GUARDS[name](build(tmp_path, extra)) == []


def test_every_guard_has_been_seen_to_fail() -> None:
    assert {name for name, _, _ in PLANTED} == set(GUARDS)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_command_that_a_page_speaks_of_exists(page: str) -> None:
    known = {name for name, command in COMMANDS.items() if find_spec(f"bridge.cli.{command.module}")}
    assert pages.spoken_commands((ROOT / page).read_text(encoding="utf-8")) <= known


def test_commands_are_found_in_a_page() -> None:
    text = (
        "Run `bridge up`, then\n\n    bridge token issue\n    TOKEN=$(bridge mint)\n\nthe bridge says nothing"
    )
    assert pages.spoken_commands(text) == {"up", "token", "mint"}
