"""The generated pages say what the code says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_spec = importlib.util.spec_from_file_location("generated_docs", Path(__file__).with_name("docs.py"))
assert _spec
assert _spec.loader
docs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(docs)
PAGES: dict[str, str] = docs.pages()


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_generated_page_is_fresh(name: str) -> None:
    path = ROOT / "docs" / name
    assert path.exists(), f"run `make docs`: docs/{name} is missing"
    assert path.read_text() == PAGES[name], f"run `make docs`: docs/{name} is stale"


def test_every_command_has_a_section_and_somebody_who_asks_for_it() -> None:
    page = PAGES["behaviours.md"]
    for path in (ROOT / "bridge" / "commands").glob("*.py"):
        if path.stem != "__init__":
            assert f"\n## {path.stem}\n" in page
    assert "asked by: nobody" not in page
