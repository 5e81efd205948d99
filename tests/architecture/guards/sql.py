"""One clock in SQL: `bridge_now()`.

`now()` is the time the transaction began: after a second's wait for a lock it is a second old.
"""

import ast
import re
from pathlib import Path

from tests.architecture.guards.source import docstrings, dotted, files, modules

CLOCK = re.compile(
    r"(?<![\w.])(?:now|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday)\s*\(\s*\)"
    r"|(?<!\w)(?:current_timestamp|current_date|current_time|localtimestamp|localtime)(?!\w)",
    re.IGNORECASE,
)
SQL_WORDS = re.compile(
    r"\b(select|insert|update|delete|where|values|returning|default|interval)\b|[<>=]", re.IGNORECASE
)
FUNCTIONS = {"now", "current_timestamp", "clock_timestamp", "statement_timestamp", "transaction_timestamp"}
SCOPE = ("bridge", "tasks", "web", "migrations")


def clocks(root: Path) -> list[str]:
    """No SQL asks another clock than `bridge_now()`; only clock.sql, which defines it, may."""
    return [*_in_sql_files(root), *_in_python(root)]


def _in_sql_files(root: Path) -> list[str]:
    found: list[str] = []
    for path in files(root, SCOPE, "*.sql"):
        if path.name.endswith("clock.sql"):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if hit := CLOCK.search(line.partition("--")[0]):
                found.append(f"{path.relative_to(root).as_posix()}:{number}: {hit[0]}: use bridge_now()")
    return found


def _in_python(root: Path) -> list[str]:
    found: list[str] = []
    for module in modules(root, SCOPE):
        prose = docstrings(module.tree)
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
                hit = CLOCK.search(node.value)
                # A bare `now()` is SQL too: a server default is just that.
                if hit and (SQL_WORDS.search(node.value) or node.value.strip() == hit[0]):
                    found.append(module.at(node, f"{hit[0]}: use bridge_now()"))
            if (
                isinstance(node, ast.Attribute)
                and node.attr in FUNCTIONS
                and dotted(node.value).endswith("func")
            ):
                found.append(module.at(node, f"func.{node.attr}: use func.bridge_now()"))
    return found
