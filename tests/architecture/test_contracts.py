"""The import contracts of pyproject.toml bite: a skeleton passes, and each planted import breaks one."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = (
    *(
        "bridge",
        "tasks",
        "web",
        "bridge/core",
        "bridge/ports",
        "bridge/db",
        "bridge/commands",
        "bridge/queries",
    ),
    *("bridge/adapters", "bridge/simulation", "bridge/stack", "bridge/terminal", "bridge/demo", "bridge/cli"),
    "bridge/conformance",
)
MODULES = {
    "bridge/config.py": "import bridge.core",
    "bridge/client.py": "import bridge.config",
    "bridge/bootstrap.py": "import bridge.commands, bridge.db, bridge.adapters",
    "bridge/db/base.py": "import sqlalchemy",
    "bridge/commands/post_message.py": "import bridge.db.base",
    "bridge/commands/read_thread.py": "import bridge.core",
    "bridge/commands/__init__.py": "from bridge.commands import post_message, read_thread",
}

# contract, file, the import that breaks it
PLANTED = [
    ("top", "web/a.py", "import tasks"),
    ("top", "bridge/config.py", "import web"),
    ("inside", "bridge/utils.py", "x = 1"),
    ("inside", "bridge/db/a.py", "import bridge.commands.post_message"),
    ("inside", "bridge/demo/a.py", "import bridge.stack"),
    ("inside", "bridge/queries/a.py", "import bridge.commands.post_message"),
    ("outside-in", "bridge/stack/a.py", "import bridge.bootstrap"),
    ("outside-in", "bridge/terminal/a.py", "import bridge.adapters"),
    ("outside-in", "bridge/mcp.py", "import bridge.queries"),
    ("db", "web/a.py", "import bridge.db.base"),
    ("db", "bridge/adapters/a.py", "import bridge.db"),
    ("sql", "tasks/a.py", "import sqlalchemy.orm"),
    ("sql", "bridge/commands/a.py", "from sqlalchemy import text"),
    ("core", "bridge/core/a.py", "import time"),
    ("core", "bridge/core/a.py", "from logging import getLogger"),
    ("commands", "bridge/commands/a.py", "from bridge.commands import post_message"),
]


def skeleton(root: Path) -> Path:
    """The layers with an allowed import or two, under the project's own contracts."""
    (root / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    for package in PACKAGES:
        (root / package).mkdir(parents=True, exist_ok=True)
        (root / package / "__init__.py").write_text("", encoding="utf-8")
    for name, text in MODULES.items():
        (root / name).write_text(text, encoding="utf-8")
    return root


def broken(root: Path, contract: str) -> bool:
    """Whether this contract, looked at alone, does not hold."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--contract", contract]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert "Contracts: " in run.stdout, run.stdout + run.stderr
    return run.returncode != 0


@pytest.mark.parametrize("contract", sorted({row[0] for row in PLANTED}))
def test_the_skeleton_keeps_every_contract(tmp_path: Path, contract: str) -> None:
    assert not broken(skeleton(tmp_path), contract)


@pytest.mark.parametrize(("contract", "file", "line"), PLANTED, ids=[f"{c}: {f} {i}" for c, f, i in PLANTED])
def test_a_planted_import_breaks_the_contract(tmp_path: Path, contract: str, file: str, line: str) -> None:
    with (skeleton(tmp_path) / file).open("a", encoding="utf-8") as planted:
        planted.write(f"\n{line}\n")
    assert broken(tmp_path, contract)


def test_every_contract_has_been_seen_to_break() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert {f'id = "{row[0]}"' for row in PLANTED} == {
        line for line in text.splitlines() if line.startswith("id = ")
    }
