"""The title says what waits, counts down, and is given back; never a byte of it on the screen."""

import itertools
import re
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.terminal.notice import AGAIN_S_MAX, LAPSE_S, TITLE_CHARS_MAX, Notice, harmless, notice_text
from bridge.terminal.screen import Screen
from tests.terminal.world import World, program

TITLE = re.compile(rb"\x1b\]2;([^\x07]*)\x07")
OURS = "⏳".encode()
SOME = {"op": "waiting", "wakes": 1, "why": "a human typed 3 s ago", "again_in_s": 4.0}


def titles(data: bytes) -> list[str]:
    return [title.decode() for title in TITLE.findall(data)]


def seen(screen: Screen) -> dict[str, object]:
    """All of a frame that can be compared."""
    frame = screen.frame()
    return {item.name: getattr(frame, item.name) for item in fields(frame) if item.name != "style"}


def waiting(**changes: object) -> dict[str, object]:
    return SOME | changes


@pytest.mark.parametrize(
    ("wakes", "why", "again_s", "text"),
    [
        (1, "a human typed 3 s ago", 4.2, "⏳ 1 wake waits: you typed 3 s ago - again in 4 s"),
        (2, "it shows a dialog", 0.2, "⏳ 2 wakes wait: it shows a dialog - again now"),
        (1, "", 600, "⏳ 1 wake waits - again in 10 min"),
    ],
)
def test_the_words(wakes: int, why: str, again_s: float, text: str) -> None:
    assert notice_text(wakes, why, again_s) == text


def test_it_counts_down_once_a_second_and_lapses_by_itself() -> None:
    notice, told = Notice(), b""
    notice.heard(waiting(), 0.0)
    for tenth in range(int((4 + LAPSE_S) * 10) + 20):
        told += notice.words(tenth / 10)
    assert titles(told)[:5] == [notice_text(1, "a human typed 3 s ago", left) for left in (4, 3, 2, 1, 0)]
    assert titles(told)[5:] == [""], "said once, and the title before ours is brought back"
    assert (told.count(b"\x1b[22;2t"), told.count(b"\x1b[23;2t")) == (1, 1)
    assert notice.due_at is None


def test_the_programs_own_title_comes_back_also_one_that_it_set_meanwhile() -> None:
    notice = Notice()
    notice.saw(b"\x1b]0;my edi")
    notice.saw(b"tor\x07")
    notice.heard(waiting(), 0.0)
    assert len(titles(notice.words(0.0))) == 1
    notice.saw(b"\x1b]2;another\x1b\\")
    assert titles(notice.words(1.0))[0].startswith("⏳"), (
        "it stands again, where the program's came in between"
    )
    notice.heard(waiting(wakes=0), 1.5)
    assert titles(notice.words(1.5)) == ["", "another"]


def test_nothing_is_written_where_nothing_waits() -> None:
    notice = Notice()
    notice.saw(b"\x1b]0;title\x07")
    notice.heard(waiting(wakes=0, why="", again_in_s=0), 0.0)
    assert (notice.words(0.0), notice.over(), notice.due_at) == (b"", b"", None)


def test_who_does_not_want_it_hears_nothing() -> None:
    notice = Notice(quiet=True)
    notice.heard(waiting(), 0.0)
    assert (notice.words(9.0), notice.due_at) == (b"", None)


@pytest.mark.parametrize(
    "why", ["\x1b]2;evil\x07", "a\x9b31mb", "two\nlines\r\x00", "\u202eright to left", "x" * 10_000]
)
def test_what_came_from_outside_cannot_end_our_sequence_or_grow(why: str) -> None:
    notice = Notice()
    notice.heard(waiting(why=why), 0.0)
    told = notice.words(0.0).removeprefix(b"\x1b[22;2t")
    assert re.fullmatch(rb"\x1b\]2;[^\x00-\x1f\x7f]*\x07", told)
    title = titles(told)[0]
    assert title.isprintable()
    assert len(title) <= TITLE_CHARS_MAX


@pytest.mark.parametrize(
    "changes",
    [
        {"wakes": "1"},
        {"wakes": None},
        {"wakes": -4},
        {"why": ["x"]},
        {"again_in_s": "soon"},
        {"op": "status"},
    ],
)
def test_a_malformed_word_shows_nothing(changes: dict[str, object]) -> None:
    notice = Notice()
    notice.heard(waiting(**changes), 0.0)
    assert notice.words(0.0) == b""


@pytest.mark.parametrize("again_s", [float("nan"), float("inf"), -5, 1e300])
def test_any_number_of_seconds_is_bounded(again_s: float) -> None:
    notice = Notice()
    notice.heard(waiting(again_in_s=again_s), 0.0)
    assert len(titles(notice.words(0.0))) == 1
    assert notice.words(AGAIN_S_MAX + LAPSE_S + 1).endswith(b"\x1b[23;2t")


def test_harmless_keeps_what_prints() -> None:
    assert harmless(" a\tb\x1bc é⏳ ", 10) == "abc é⏳"


# --- between two sequences, never inside of one -------------------------------------------------------------------

PIECES = [
    b"plain text ",
    "äöü€😀".encode(),
    b"\x1b[31mred\x1b[0m",
    b"\x1b[2;5H",
    b"\x1b]0;title\x07",
    b"\x1b]2;other\x1b\\",
    b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\",
    b"\x1bP$qm\x1b\\",
    b"\x1b(B",
    b"\x1b7\x1b8",
    b"\r\n",
    b"\x1b[?2026h|\x1b[?2026l",
    b"\x1b[1\x1b[1mbold",
    b"\x1b]0;broken\x18",
    b"\x1b_apc\x1b\\",
]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=25), st.lists(st.integers(1, 12), min_size=1, max_size=80))
def test_the_screen_is_the_same_with_and_without_it(pieces: list[bytes], cuts: list[int]) -> None:
    stream, alone, both, notice = b"".join(pieces), Screen(60, 20), Screen(60, 20), Notice()
    sizes, at = itertools.cycle(cuts), 0
    for tick in itertools.count():
        if at >= len(stream):
            break
        chunk = stream[at : (at := at + next(sizes))]
        alone.feed(chunk)
        both.feed(chunk)
        notice.saw(chunk)
        notice.heard(waiting(again_in_s=50), float(tick))
        both.feed(notice.words(float(tick)))
    both.feed(notice.over())
    assert seen(both) == seen(alone)


def test_a_sequence_of_any_length_is_waited_for() -> None:
    notice = Notice()
    notice.heard(waiting(), 0.0)
    notice.saw(b"\x1bPq" + b"x" * 100_000)
    assert notice.words(1.0) == b""
    notice.saw(b"x" * 100_000 + b"\x1b")
    assert notice.words(2.0) == b""
    notice.saw(b"\\")
    assert len(titles(notice.words(3.0))) == 1


# --- in a terminal ---------------------------------------------------------------------------------------------------


def test_a_human_sees_the_countdown_in_the_title_and_his_own_title_after_it(world: World) -> None:
    script = r"printf '\033]0;my shell\007'; printf 'on the screen\n'; exec cat"
    world.start(["/bin/sh", "-c", script])
    world.until(world.host.events)
    world.until(lambda: "on the screen" in world.shown)
    before = world.shown
    world.host.send(waiting(again_in_s=5))
    world.until(lambda: len(ours(world)) >= 2)
    assert ours(world)[0] == "⏳ 1 wake waits: you typed 3 s ago - again in 5 s"
    assert re.search(r"again in [34] s", ours(world)[1])
    world.host.send({"op": "waiting", "wakes": 0, "why": "", "again_in_s": 0})
    world.until(lambda: titles(bytes(world.window.raw))[-1] == "my shell")
    assert world.shown == before


def test_at_its_end_the_title_is_given_back(world: World) -> None:
    world.start(["/bin/sh", "-c", "read x; exit 3"])
    world.until(world.host.events)
    world.host.send(waiting(again_in_s=50))
    world.until(lambda: ours(world))
    world.window.type(b"\r")
    assert world.exit_code() == 3
    world.until(lambda: world.window.master < 0 or b"\x1b[23;2t" in world.window.raw)
    assert b"\x1b[23;2t" in world.window.raw


def test_without_a_terminal_nobody_is_told_and_nothing_breaks(world: World) -> None:
    world.start(program("line.py", str(world.directory / "got")), headless=True).ready()
    world.host.send(waiting(again_in_s=1))
    assert world.injected("wake-1", "hello", quiet_s=0.0)["result"] == "accepted"
    assert OURS not in (world.directory / "log").read_bytes()


def ours(world: World) -> list[Any]:
    return [title for title in titles(bytes(world.window.raw)) if title.startswith("⏳")]
