"""The ledger: what an agent saw, read while it is still being written."""

from pathlib import Path

from bridge.demo.ledger import POINTER, Ledger, Pen


def test_what_was_noted_can_be_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    Pen(path).note("posted", type="chat", seq=1)
    ledger = Ledger(path)
    assert ledger.first("posted", type="chat")() is not None
    assert ledger.first("posted", type="decision")() is None
    assert ledger.first("posted", since=float("inf"))() is None


def test_only_lines_that_a_wake_typed_count_as_woken(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    pen = Pen(path)
    pen.note("saw", line=f"{POINTER}1 new message in 1 thread.")
    pen.note("saw", line="Plan the release")
    assert len(Ledger(path).woken()) == 1


def test_a_line_that_is_not_whole_yet_waits_for_the_next_look(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    Pen(path).note("began")
    with path.open("a") as file:
        file.write('{"at": 1')
    assert [entry["did"] for entry in Ledger(path).entries()] == ["began"]


def test_a_ledger_that_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    assert Ledger(tmp_path / "none").entries() == []
