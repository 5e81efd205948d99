"""Size, captions and names: what makes a folder readable at a glance."""

import ast
from pathlib import Path

from tests.architecture.guards.source import EVERYTHING, PRODUCT, modules

FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 400
NO_HOMES = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc"}


def sizes(root: Path) -> list[str]:
    """Functions of at most 70 lines, modules of at most 400; migrations are frozen and left out."""
    found: list[str] = []
    for module in modules(root, EVERYTHING):
        if module.path.startswith("migrations/versions/"):
            continue
        lines = module.text.count("\n")
        if lines > MODULE_LINES_MAX:
            found.append(f"{module.path}: {lines} lines; {MODULE_LINES_MAX} are the most")
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES_MAX:
                    found.append(
                        module.at(node, f"{node.name} has {length} lines; {FUNCTION_LINES_MAX} are the most")
                    )
    return found


def captions(root: Path) -> list[str]:
    """Every package says in its docstring what it is; every folder with modules is a package."""
    found = [
        f"{module.path}: a package says in its docstring what it is"
        for module in modules(root)
        if module.path.endswith("/__init__.py") and not ast.get_docstring(module.tree)
    ]
    folders = {Path(module.path).parent for module in modules(root, PRODUCT)}
    return found + [
        f"{folder}/: modules, but no __init__.py"
        for folder in sorted(folders)
        if not (root / folder / "__init__.py").exists()
    ]


def homes(root: Path) -> list[str]:
    """No module or folder is named for nothing in particular."""
    return [
        f"{module.path}: name it for what it does"
        for module in modules(root, EVERYTHING)
        if NO_HOMES & {part.removesuffix(".py") for part in Path(module.path).parts}
    ]
