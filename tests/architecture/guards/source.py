"""Reading the tree as the guards see it: parsed modules and text files, each by its path from the root.

A guard is a function from a root folder to findings, so that it can be shown to fail on a planted violation
in a small tree of its own.
"""

import ast
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PRODUCT = ("bridge", "tasks", "web")
EVERYTHING = (*PRODUCT, "tests", "migrations")
TEXT_SUFFIXES = (
    ".py",
    ".md",
    ".sql",
    ".toml",
    ".yaml",
    ".yml",
    ".lock",
    ".html",
    ".js",
    ".css",
    ".txt",
    ".example",
)
TEXT_NAMES = ("Makefile", "Dockerfile", "run", ".gitignore", ".dockerignore")


@dataclass(frozen=True)
class Module:
    """One Python file; `path` is relative to the root, with slashes."""

    path: str
    text: str
    tree: ast.Module

    def at(self, node: ast.AST, finding: str) -> str:
        """A finding with its place."""
        return f"{self.path}:{getattr(node, 'lineno', 1)}: {finding}"


def files(root: Path, folders: tuple[str, ...], pattern: str) -> Iterator[Path]:
    """Files of these folders in a stable order, caches left out."""
    for folder in folders:
        for path in sorted((root / folder).rglob(pattern)):
            if "__pycache__" not in path.parts and path.is_file():
                yield path


def modules(root: Path, folders: tuple[str, ...] = PRODUCT) -> Iterator[Module]:
    """Every Python file of these folders, parsed."""
    for path in files(root, folders, "*.py"):
        text = path.read_text(encoding="utf-8")
        yield Module(path.relative_to(root).as_posix(), text, ast.parse(text))


def text_files(root: Path) -> Iterator[tuple[str, str]]:
    """Path and text of every text file that is, or could be, committed."""
    for name in _committable(root):
        path = root / name
        if path.is_file() and (path.suffix in TEXT_SUFFIXES or path.name in TEXT_NAMES):
            yield name, path.read_text(encoding="utf-8")


def docstrings(tree: ast.Module) -> set[int]:
    """The ids of the string nodes that are docstrings."""
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                found.add(id(first.value))
    return found


def dotted(node: ast.AST) -> str:
    """`a.b.c` for a chain of names; what stands before a call or an index is left out."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _committable(root: Path) -> list[str]:
    """What git knows or would take; where git does not answer (no git, another owner), our folders."""
    if (root / ".git").exists() and shutil.which("git"):
        command = ["git", "-C", str(root), "ls-files", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, check=False, capture_output=True, text=True)
        if listed.returncode == 0:
            return sorted(listed.stdout.splitlines())
    top = [path for path in sorted(root.iterdir()) if path.is_file()]
    inside = files(root, (*EVERYTHING, "docs", ".ci"), "*")
    return [path.relative_to(root).as_posix() for path in (*top, *inside)]
