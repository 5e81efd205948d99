"""Calls that belong into one place, or nowhere."""

import ast
from pathlib import Path

from tests.architecture.guards.source import EVERYTHING, PRODUCT, Module, dotted, modules

# Only these two talk to the broker; everything else rings through the gateway, which makes nobody wait.
SENDERS = ("bridge/adapters/celery_gateway.py", "tasks/keeper.py")
SENDS = {"delay", "apply_async", "send_task"}

# Monotonic clocks measure waits; they decide nothing. Here are the places that wait.
MONOTONIC_AT = (
    *("bridge/adapters/", "bridge/terminal/", "bridge/stack/", "bridge/demo/", "bridge/cli/"),
    "bridge/conformance/",
    *(
        "bridge/client.py",
        "bridge/simulation/",
        "tasks/",
        "tests/",
    ),  # a hand checks its lease by its own clock
)
MONOTONIC = {
    f"time.{name}{suffix}" for name in ("monotonic", "perf_counter", "process_time") for suffix in ("", "_ns")
}

SLEEPS = {"time.sleep", "asyncio.sleep", "gevent.sleep"}
# SQL is spoken in two rooms. The import contracts hold SQLAlchemy out of the others, this holds all of them.
DRIVERS = {"sqlalchemy", "psycopg", "psycopg2", "asyncpg", "sqlite3"}
SQL_AT = ("bridge/db/", "bridge/queries/")
COMMITS_AT = ("bridge/db/",)
PATCHES = {"setattr", "delattr", "patch", "object"}


def sends(root: Path) -> list[str]:
    """Celery's own ways to send stay in the gateway and the keeper."""
    return [
        module.at(
            node, f".{node.func.attr}() outside the gateway: ring a TaskName through the TaskGateway port"
        )
        for module in modules(root, PRODUCT)
        if module.path not in SENDERS
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SENDS
    ]


def monotonic_clocks(root: Path) -> list[str]:
    """Monotonic clocks are read, or handed on, only where something waits."""
    return [
        module.at(node, f"{name} here: take `now` as an argument")
        for module in modules(root, EVERYTHING)
        if not module.path.startswith(MONOTONIC_AT)
        for node, name in _uses(module, MONOTONIC)
    ]


def sleeps(root: Path) -> list[str]:
    """No test sleeps to wait for something.

    Let through: `until`, which asks again before a deadline; programs that tests start, which may play a busy
    one; the harnesses of chaos, benchmarks and live, which pace a load or a person.
    """
    return [
        module.at(node, f"{name} in a test: wait for a signal, a row or a line with a deadline")
        for module in modules(root, ("tests",))
        if not _may_sleep(Path(module.path))
        for node, name in _uses(module, SLEEPS)
        if not _inside(module, node, "until")
    ]


def commits(root: Path) -> list[str]:
    """The unit of work commits, nobody else."""
    return [
        module.at(node, ".commit(): the unit of work commits")
        for module in modules(root, PRODUCT)
        if not module.path.startswith(COMMITS_AT)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "commit"
        and not dotted(node.func).startswith("uow.")
    ]


def drivers(root: Path) -> list[str]:
    """Nothing but the database's rooms imports SQLAlchemy or a driver."""
    found: list[str] = []
    for module in modules(root, PRODUCT):
        if module.path.startswith(SQL_AT):
            continue
        for node in ast.walk(module.tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            hits = [name for name in names if name.partition(".")[0] in DRIVERS]
            found += [
                module.at(node, f"imports {name}: only bridge.db and bridge.queries do") for name in hits
            ]
    return found


def patches(root: Path) -> list[str]:
    """Tests hand in another value; they do not patch our modules."""
    found: list[str] = []
    for module in modules(root, ("tests",)):
        own = _own_names(module)
        for node in ast.walk(module.tree):
            if not (isinstance(node, ast.Call) and node.args and _patching(node.func)):
                continue
            target = node.args[0]
            by_text = isinstance(target, ast.Constant) and str(target.value).partition(".")[0] in PRODUCT
            if by_text or dotted(target).partition(".")[0] in own:
                found.append(module.at(node, "a test patches our own module: pass a value in instead"))
    return found


def _may_sleep(path: Path) -> bool:
    harness = path.parts[1] in {"chaos", "benchmarks", "live"} and not path.name.startswith("test_")
    return harness or "programs" in path.parts or path.name.startswith("stand_in")


def _inside(module: Module, node: ast.AST, name: str) -> bool:
    """Whether a node stands in a function of this name."""
    return any(
        isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        and function.name == name
        and any(inner is node for inner in ast.walk(function))
        for function in ast.walk(module.tree)
    )


def _patching(function: ast.expr) -> bool:
    name = dotted(function)
    last = name.rpartition(".")[2]
    return last in PATCHES and (
        name == "patch" or name.startswith(("monkeypatch.", "mock.", "patch.", "mocker."))
    )


def _own_names(module: Module) -> set[str]:
    """The names under which a test knows something of ours."""
    found: set[str] = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in PRODUCT:
            found |= {alias.asname or alias.name for alias in node.names}
        if isinstance(node, ast.Import):
            ours = [alias for alias in node.names if alias.name.partition(".")[0] in PRODUCT]
            found |= {alias.asname or alias.name.partition(".")[0] for alias in ours}
    return found


def _uses(module: Module, names: set[str]) -> list[tuple[ast.AST, str]]:
    """Where one of these dotted names is used, also when it was imported by itself."""
    found: list[tuple[ast.AST, str]] = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and dotted(node) in names:
            found.append((node, dotted(node)))
        if isinstance(node, ast.ImportFrom):
            found += [
                (node, f"{node.module}.{alias.name}")
                for alias in node.names
                if f"{node.module}.{alias.name}" in names
            ]
    return found
