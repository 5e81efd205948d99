"""The suite itself: each of its traps has been seen to catch somebody, and what it says is what happened."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bridge.adapters.presets import load_preset
from bridge.conformance.live_play import live_play
from bridge.conformance.live_traps import LIVE_TRAPS
from bridge.conformance.post_traps import POST_TRAPS
from bridge.conformance.queue_traps import QUEUE_TRAPS
from bridge.conformance.run import Chosen, all_traps, try_live, try_webhook
from bridge.conformance.start_traps import START_TRAPS
from bridge.conformance.started import Bench, CommandAdapter
from bridge.conformance.suite import OfAdapter, Report, try_all
from bridge.conformance.traps import Kind, Mark, NotHere, Trap, Tried, Wrong
from tests.conformance import broken
from tests.conformance.broken_posts import BENCHES

HABITS = {
    "blind": broken.blind,
    "boasts": broken.boasts,
    "pushes": broken.pushes,
    "shies": broken.shies,
    "tidies": broken.tidies,
    "denies": broken.denies,
}
# Who must be caught by what: the reason that the report gives.
CAUGHT = [
    ("blind", "approval dialog", "an open dialog was answered"),
    ("blind", "password prompt", "text was typed into a password prompt"),
    ("blind", "pager", "keys were typed into a pager"),
    ("blind", "somebody's draft", "nobody sent"),
    ("pushes", "human types meanwhile", "nobody sent"),
    ("blind", "same key twice", "took the line 2 times"),
    ("boasts", "empty box", "the program did not take the line"),
    ("boasts", "ends at Enter", "the program did not take the line"),
    ("pushes", "dialog at a paste", "an open dialog was answered"),
    ("pushes", "Enter always swallowed", "the program did not take the line"),
    ("pushes", "never rendered", "unverified is right here"),
    ("shies", "empty box", "accepted is right here"),
    ("shies", "paste burst", "accepted is right here"),
    ("tidies", "Enter always swallowed", "keys that nobody asked for"),
    ("denies", "faint suggestion", "but the program took the line"),
]
START_CAUGHT = [
    ("wrong session id", "another session was taken for the right one"),
    ("token in the open", "the token stood in argv or in the environment"),
    ("prompt like an option", "the prompt stood in argv"),
    ("session id like an option", "an id that is an option was passed on"),
    ("ends with a status", "status 42 was told as 0"),
    ("daemon", "processes of it live"),
]
POST_CAUGHT = [
    ("2xx", "the signature is wrong"),
    ("words of others", "the line's words stood in the request"),
    ("429", "not_touched is right here"),
    ("410", "gone is right here"),
    ("same id again", "the ids differ"),
    ("rebinding", "looked up 2 times"),
]


def _told(_adapter: str, _tried: Tried) -> None:
    pass


@pytest.fixture(name="red", scope="module")
def _red() -> dict[str, dict[str, str]]:
    """Why each trap failed, by bad habit."""
    with ThreadPoolExecutor(3) as pool:
        return dict(zip(HABITS, map(_failures, pool.map(_live, HABITS.values())), strict=True))


def _live(habit: broken.Habit) -> OfAdapter:
    return try_live(broken.BrokenAdapter(habit), {"look": "line", "prompt": "> "}, Chosen(), _told)


def _failures(one: OfAdapter) -> dict[str, str]:
    return {tried.name: tried.why for tried in one.traps if tried.result is Mark.FAILED}


@pytest.mark.parametrize(("habit", "trap", "why"), CAUGHT, ids=[f"{row[0]}-{row[1]}" for row in CAUGHT])
def test_a_bad_habit_is_caught_and_named(
    red: dict[str, dict[str, str]], habit: str, trap: str, why: str
) -> None:
    assert why in red[habit].get(trap, "(passed)")


def test_every_live_trap_has_caught_somebody(red: dict[str, dict[str, str]]) -> None:
    caught = {trap for failures in red.values() for trap in failures}
    assert {trap.name for trap in LIVE_TRAPS if not trap.only} - caught == set()


PANES = [trap for trap in LIVE_TRAPS if trap.only == {"tmux"}]


def test_every_trap_of_a_queue_has_caught_somebody() -> None:
    caught: set[str] = set()
    for habit in (broken.blind, broken.boasts):
        play = live_play(broken.BrokenAdapter(habit), {"look": "codex"})
        caught |= set(_failures(try_all("broken", QUEUE_TRAPS, play, _told)))
    assert {trap.name for trap in QUEUE_TRAPS} - caught == set()


@pytest.mark.needs("tmux")
@pytest.mark.parametrize(
    ("trap", "why"),
    [
        ("copy mode", "the program did not take the line"),
        ("shell where the agent was", "a shell was given the text as a command"),
        ("pane with another program", "a shell was given the text as a command"),
    ],
)
def test_keys_sent_to_whoever_is_in_a_pane_are_caught(trap: str, why: str) -> None:
    adapter = broken.BlindPanes("line", None)
    try:
        traps = [one for one in PANES if one.name == trap]
        found = _failures(try_all("broken", traps, live_play(adapter, {"look": "line"}), _told))
    finally:
        adapter.close()
    assert why in found.get(trap, "(passed)")


def test_every_trap_of_a_pane_is_among_those() -> None:
    assert {trap.name for trap in PANES} == {
        "copy mode",
        "shell where the agent was",
        "pane with another program",
    }


@pytest.fixture(name="red_starts", scope="module")
def _red_starts() -> dict[str, list[str]]:
    """Why each trap of starting failed, over the books that trust programs too much."""
    found: dict[str, list[str]] = {}
    for patient, proves in ((True, True), (True, False), (False, True)):
        for name, why in _starts(patient=patient, proves=proves).items():
            found.setdefault(name, []).append(why)
    return found


def _starts(*, patient: bool, proves: bool) -> dict[str, str]:
    command = load_preset("codex").command
    assert command is not None
    adapter = CommandAdapter("codex", None, command)
    adapter.book.close(0.0)
    adapter.book = broken.TrustingBook(adapter.settings, adapter.notes, patient=patient, proves=proves)

    def play(trap: Trap, folder: Path) -> None:
        trap.play(Bench(adapter, folder, ended_s=2.0))

    try:
        return _failures(try_all("command", START_TRAPS, play, _told))
    finally:
        adapter.close()


@pytest.mark.parametrize(("trap", "why"), START_CAUGHT, ids=[row[0] for row in START_CAUGHT])
def test_a_book_that_trusts_is_caught_and_named(
    red_starts: dict[str, list[str]], trap: str, why: str
) -> None:
    assert any(why in found for found in red_starts.get(trap, ["(passed)"])), red_starts.get(trap)


def test_every_trap_of_starting_has_caught_somebody(red_starts: dict[str, list[str]]) -> None:
    skipped = {"id of another form"}
    assert {trap.name for trap in START_TRAPS} - set(red_starts) - skipped == set()


@pytest.fixture(name="red_posts", scope="module")
def _red_posts() -> dict[str, dict[str, str]]:
    """Why each trap of posting failed, by sender."""
    return {name: _failures(try_webhook(Chosen(), _told, make)) for name, make in BENCHES.items()}


@pytest.mark.parametrize(("trap", "why"), POST_CAUGHT, ids=[row[0] for row in POST_CAUGHT])
def test_a_sender_that_believes_everybody_is_caught_and_named(
    red_posts: dict[str, dict[str, str]], trap: str, why: str
) -> None:
    assert why in red_posts["yes-man"].get(trap, "(passed)")


def test_every_trap_of_posting_has_caught_somebody(red_posts: dict[str, dict[str, str]]) -> None:
    caught = {trap for failures in red_posts.values() for trap in failures}
    assert {trap.name for trap in POST_TRAPS} - caught == set()


def test_what_breaks_the_suite_is_a_failure_and_no_end_of_it(tmp_path: Path) -> None:
    def breaks(_stage: object) -> None:
        raise RuntimeError("a plug was pulled")

    def is_not_here(_stage: object) -> None:
        raise NotHere("no such thing here")

    def is_wrong(_stage: object) -> None:
        raise Wrong("it lied")

    traps = [Trap(play.__name__, "", Kind.LIVE, play) for play in (breaks, is_not_here, is_wrong, print)]
    told: list[str] = []
    one = try_all("x", traps, lambda trap, _folder: trap.play(None), lambda _, tried: told.append(tried.name))
    assert [tried.result for tried in one.traps] == [Mark.FAILED, Mark.SKIPPED, Mark.FAILED, Mark.PASSED]
    assert "a plug was pulled" in one.traps[0].why
    assert sorted(told) == sorted(trap.name for trap in traps)
    report = Report("x", None, None, (one,)).as_json()
    assert (report["passed"], report["failed"], report["skipped"]) == (1, 2, 1)
    assert report["adapters"][0]["traps"][2]["why"] == "it lied"
    del tmp_path


def test_traps_have_names_of_their_own_and_a_sentence() -> None:
    traps = all_traps()
    assert len({trap.name for trap in traps}) == len(traps)
    assert all(trap.what.endswith(".") and len(trap.what) > 30 for trap in traps)
