"""Sets of states have a name, and the name lives in the core."""

import ast
from pathlib import Path

from tests.architecture.guards.source import modules

WORDS = ("state", "status")


def literal_sets(root: Path) -> list[str]:
    """No `state in (..)` outside the core: the same set would soon be spelled in two places."""
    return [
        module.at(node, "a set of states spelled out: name it in bridge/core/states.py")
        for module in modules(root)
        if not module.path.startswith("bridge/core/")
        for node in ast.walk(module.tree)
        if _is_membership(node) or _is_in_call(node)
    ]


def _is_membership(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Compare)
        and isinstance(node.ops[0], ast.In | ast.NotIn)
        and _names_a_state(node.left)
        and _spells_states(node.comparators[0])
    )


def _is_in_call(node: ast.AST) -> bool:
    """SQLAlchemy's `column.in_([..])`."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"in_", "not_in"}
        and _names_a_state(node.func.value)
        and bool(node.args)
        and _spells_states(node.args[0])
    )


def _names_a_state(node: ast.expr) -> bool:
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return name.rpartition("_")[2] in WORDS


def _spells_states(node: ast.expr) -> bool:
    """Two or more names or texts; numbers are HTTP's."""
    if not isinstance(node, ast.Tuple | ast.List | ast.Set) or not node.elts:
        return False
    return all(
        isinstance(item, ast.Attribute) or (isinstance(item, ast.Constant) and isinstance(item.value, str))
        for item in node.elts
    )
