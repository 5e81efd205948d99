"""Hand-kept truth is compared with what it speaks of: errors, decisions, commands, words, the lock."""

import ast
import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

from tests.architecture.guards.source import text_files

ADR_PARTS = ("## Context", "## Decision", "## Consequences", "## What would change our mind")
ADR_TEMPLATE = "0000-template.md"
GUARDS = "tests/architecture/"

# What only those who built it would understand; in pieces, so that a search for the words finds no hit here.
PRIVATE = re.compile(
    r"\.\./shar" + r"ed\b|\bshared/(?:design|api|style|field-notes|seeds|hooks|tools)\b"
    r"|\bfield-no" + r"tes\b|\bCONTRACT\.m" + r"d\b|/wo" + r"rk/(?:main|shared)"
    r"|\bissue[s]? #?\d+\b|\bfirst sit" + r"ting\b",
    re.IGNORECASE,
)
_TEST = re.compile(r"`(tests/[\w/]+\.py)::((?:\w+::)?test_\w+)`")
PLACES = re.compile(
    r"https?://|file:/|pypi\.org|pythonhosted|^\s*--(?:(?:extra-)?index-url|find-links|trusted-host)|@ ",
    re.MULTILINE,
)


def private_words(root: Path) -> list[str]:
    """Nothing speaks of papers that a reader does not have."""
    return [
        f"{path}:{number}: {hit[0]!r} means nothing to a reader"
        for path, text in text_files(root)
        if not path.startswith(GUARDS)
        for number, line in enumerate(text.splitlines(), start=1)
        if (hit := PRIVATE.search(line))
    ]


def lock(root: Path) -> list[str]:
    """The lock is hashed throughout, names no place, and has what pyproject.toml asks for."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    runtime = project["dependencies"]
    wanted = {
        "requirements.lock": runtime,
        "requirements-dev.lock": [*runtime, *project.get("optional-dependencies", {}).get("dev", [])],
    }
    found: list[str] = []
    for name, requirements in wanted.items():
        text = (root / name).read_text(encoding="utf-8")
        found += [f"{name}: names a place: {hit[0].strip()}" for hit in PLACES.finditer(text)]
        entries = re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^\s;\\]+)(.*(?:\n .*)*)", text, re.MULTILINE)
        found += [
            f"{name}: {package} has no hash" for package, _, rest in entries if "--hash=sha256:" not in rest
        ]
        pinned = {package: version for package, version, _ in entries}
        for requirement in map(Requirement, requirements):
            version = pinned.get(_normal(requirement.name))
            if version is None or not requirement.specifier.contains(version):
                found.append(f"{name}: {requirement} is not in it: make lock")
    return found


def errors(root: Path) -> list[str]:
    """Each error has a sentence, its place in the drawn tree, and a code of its own."""
    path = root / "bridge/core/errors.py"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    drawn = ast.get_docstring(tree) or ""
    page = root / "docs/errors.md"
    listed = page.read_text(encoding="utf-8") if page.exists() else None
    found: list[str] = []
    codes: list[str] = []
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        if not ast.get_docstring(node):
            found.append(f"{path.name}:{node.lineno}: {node.name} says nothing: its docstring is the message")
        if not re.search(rf"\b{node.name}\b", drawn):
            found.append(f"{path.name}:{node.lineno}: {node.name} is not in the drawn tree")
        codes += _codes(node)
    found += [
        f"{path.name}: two errors have the code {code}"
        for code in sorted(set(codes))
        if codes.count(code) > 1
    ]
    if listed is not None:
        found += [f"docs/errors.md: {code} is missing: make docs" for code in codes if code not in listed]
    return found


def decisions(root: Path) -> list[str]:
    """Each decision has all its parts and its line in the index, and the index names no other."""
    folder = root / "docs/adr"
    index = (folder / "README.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\((\d{4}-[a-z0-9-]+\.md)\)", index)) - {ADR_TEMPLATE}
    written = {path.name for path in folder.glob("[0-9]*.md")} - {ADR_TEMPLATE}
    found = [f"docs/adr/{name}: not in docs/adr/README.md" for name in sorted(written - linked)]
    found += [f"docs/adr/README.md: {name} does not exist" for name in sorted(linked - written)]
    for name in sorted(written):
        text = (folder / name).read_text(encoding="utf-8")
        found += [f"docs/adr/{name}: no {part!r}" for part in ADR_PARTS if part not in text]
        if not re.search(r"^Status: (proposed|accepted|superseded by \d{4})", text, re.MULTILINE):
            found.append(f"docs/adr/{name}: no status")
    return found


def security(root: Path) -> list[str]:
    """Each threat of docs/security.md names tests that there are, or says that its control is not shown."""
    text = (root / "docs/security.md").read_text(encoding="utf-8")
    found: list[str] = []
    for path, name in sorted(set(_TEST.findall(text))):
        file = root / path
        if not file.exists() or name.split("::") not in _tests(ast.parse(file.read_text(encoding="utf-8"))):
            found.append(f"docs/security.md: there is no {path}::{name}")
    threats = re.findall(r"\| threat \|[^\n]*\n\|[-|]+\n((?:\|[^\n]*\n?)*)", text)
    for row in "".join(threats).splitlines():
        shown = row.rstrip(" |").rpartition("|")[2]
        if not _TEST.search(shown) and shown.strip() != "not shown":
            found.append(f"docs/security.md: no test shows {row.split('|')[1].strip()!r}")
    return found


def _tests(tree: ast.Module) -> list[list[str]]:
    """The names of a file's tests, each with its class before it."""
    found: list[list[str]] = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            found.append([node.name])
        if isinstance(node, ast.ClassDef):
            found += [[node.name, one.name] for one in node.body if isinstance(one, ast.FunctionDef)]
    return found


def make_targets(root: Path) -> list[str]:
    """Each target of the Makefile that is for people has its line of help; README speaks of no other."""
    text = (root / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][a-z-]*):(?!=)", text, re.MULTILINE))
    helped = set(re.findall(r"^([a-z][a-z-]*):(?!=).*## \S", text, re.MULTILINE))
    phony = set(re.findall(r"^\.PHONY: (\S+)", text, re.MULTILINE))
    found = [f"Makefile: {target} has no line of help" for target in sorted(targets - helped - {"lint"})]
    found += [f"Makefile: {target} is not .PHONY" for target in sorted(targets - phony)]
    for page in ("README.md", "CONTRIBUTING.md"):
        spoken = re.findall(
            r"(?:^|`)make ([a-z][a-z-]*)", (root / page).read_text(encoding="utf-8"), re.MULTILINE
        )
        found += [f"{page}: there is no `make {target}`" for target in sorted(set(spoken) - targets)]
    return found


def spoken_commands(text: str) -> set[str]:
    """The first words after `bridge` in a page's code."""
    return set(re.findall(r"(?:^|`|\$\()\s*(?:\.venv/bin/)?bridge ([a-z][a-z-]*)", text, re.MULTILINE))


def _codes(node: ast.ClassDef) -> list[str]:
    return [
        str(line.value.value)
        for line in node.body
        if isinstance(line, ast.Assign | ast.AnnAssign)
        and isinstance(line.value, ast.Constant)
        and dotted_target(line) == "code"
    ]


def dotted_target(line: ast.Assign | ast.AnnAssign) -> str:
    """The name an assignment binds, if it is one name."""
    target = line.targets[0] if isinstance(line, ast.Assign) else line.target
    return target.id if isinstance(target, ast.Name) else ""


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
