"""What the core may import: the standard library, and of that nothing that reaches outside.

The import contracts name what is forbidden; this one names what is allowed, so that nothing is forgotten.
"""

import ast
import sys
from pathlib import Path

from tests.architecture.guards.source import modules

REACHES_OUT = {
    *("asyncio", "ctypes", "glob", "io", "logging", "multiprocessing", "os", "pathlib", "random", "secrets"),
    *("selectors", "shutil", "signal", "socket", "sqlite3", "subprocess", "tempfile", "threading", "time"),
    *("urllib", "uuid", "zoneinfo"),
}


def core_imports(root: Path) -> list[str]:
    """The core imports itself and the pure part of the standard library."""
    found: list[str] = []
    for module in modules(root, ("bridge/core",)):
        for node in ast.walk(module.tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            found += [module.at(node, f"the core imports {name}") for name in names if not _pure(name)]
    return found


def _pure(name: str) -> bool:
    top = name.partition(".")[0]
    if top == "bridge":
        return name == "bridge.core" or name.startswith("bridge.core.")
    return top in sys.stdlib_module_names and top not in REACHES_OUT
