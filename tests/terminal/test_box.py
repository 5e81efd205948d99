"""What the judge makes of programs that draw a box of their own: real screens, and screens that nobody drew."""

import dataclasses
import functools
import random
from collections.abc import Iterator

import pytest

from bridge.adapters.presets import load_preset
from bridge.terminal.box import BoxJudge
from bridge.terminal.screen import SYNCHRONIZED, Screen
from bridge.terminal.verdict import Frame, Rules, Seen, Verdict
from tests.terminal.recorded import cut, names, played, written

WAKE = (
    "5 new in 3 threads, read them with bridge inbox: the review of the parser, the question about names "
    "and the release notes that wait for you"
)
RECORDING_BYTES_MAX = 20 * 1024
SHOWS = {
    Seen.EMPTY: (
        "fresh after-turn long-answer help resized resized-24 empty-60 empty-24",
        "claude-focus-out claude-renamed claude-resized-back claude-plan-mode claude-vim-normal",
        "codex-transcript codex-esc-once codex-scrolled codex-inline-after codex-vim-normal",
    ),
    Seen.DRAFT: (
        "draft multiline blank-row blanks wide large-paste wrapped-60 history-up slash",
        "claude-one-letter-home claude-wrapped-24x20 claude-at",
        "codex-cursor-at-start codex-wrapped-24",
    ),
    Seen.BUSY: ("busy busy-draft busy-queued busy-24", "", ""),
    Seen.DIALOG: ("approval approval-60 approval-24 model ctrl-r ctrl-r-he esc-twice", "", "codex-agents"),
    Seen.UNKNOWN: ("shell shell-ls", "claude-ctrl-o claude-wrapped-24", "codex-f2 codex-newlines-first"),
}
DRAFTS = {
    "claude-draft": "hello world",
    "claude-multiline": "first line\nsecond line\nthird line",
    "claude-blank-row": "one\n\n  two",
    "claude-wide": "é漢字 draft",
    "claude-blanks": "",
    "claude-one-letter-home": "h",
    "claude-slash": "/",
    "claude-large-paste": "[Pasted text #1 +59 lines]",
    "codex-draft": "hello world",
    "codex-multiline": "first line\nsecond line\nthird line",
    "codex-blank-row": "one\n\n  two",
    "codex-wide": "é漢字 draft",
    "codex-blanks": "",
    "codex-cursor-at-start": "hi",
    "codex-slash": "/",
    "codex-large-paste": "[Pasted Content 2689 chars]",
}
WHOLE = ["claude-wrapped-60", "claude-wrapped-24x20", "codex-wrapped-60"]


def rules(name: str) -> Rules:
    return _rules(name.partition("-")[0])


@functools.cache
def _rules(preset: str) -> Rules:
    return Rules(**load_preset(preset).screen.arguments())


def shown() -> Iterator[tuple[str, Seen]]:
    for seen, (both, *own) in SHOWS.items():
        for name in both.split():
            yield f"claude-{name}", seen
            yield f"codex-{name}", seen
        for name in " ".join(own).split():
            yield name, seen


def judged(name: str, frame: Frame | None = None) -> Verdict:
    return BoxJudge(rules(name)).look(frame or played(name).frame())


def empty_ones() -> list[str]:
    return [name for name, seen in shown() if seen is Seen.EMPTY]


@pytest.mark.parametrize(("name", "seen"), list(shown()))
def test_a_real_screen_is_what_it_shows(name: str, seen: Seen) -> None:
    verdict = judged(name)
    assert verdict.seen is seen
    assert verdict.covered is (seen in (Seen.DIALOG, Seen.UNKNOWN))


def test_every_recording_is_judged_and_small() -> None:
    assert names() == sorted(name for name, _ in shown())
    assert all(len(written(name)) < RECORDING_BYTES_MAX for name in names())


@pytest.mark.parametrize("name", DRAFTS)
def test_a_draft_is_read_as_it_stands(name: str) -> None:
    verdict = judged(name)
    assert (verdict.text, verdict.line) == (DRAFTS[name], DRAFTS[name])


@pytest.mark.parametrize("name", WHOLE)
def test_a_wrapped_wake_is_read_whole(name: str) -> None:
    assert "".join(judged(name).text.split()) == "".join(WAKE.split())


def test_a_wake_that_has_scrolled_out_of_a_low_box_is_not_taken_for_whole() -> None:
    assert "".join(judged("codex-wrapped-24").text.split()) != "".join(WAKE.split())


def test_what_stands_in_the_box_of_a_working_program_is_told() -> None:
    assert [judged(f"{name}-busy-draft").line for name in ("claude", "codex")] == ["ahead", "ahead"]


@pytest.mark.parametrize("name", empty_ones())
def test_an_empty_box_with_anything_wrong_about_it_is_not_empty(name: str) -> None:
    """One thing at a time is changed on a real screen: nothing of it leaves the box empty."""
    frame, own = played(name).frame(), rules(name)
    y = frame.cursor[1]
    for x in range(own.text_column, len(frame.rows[y])):
        style = frame.style(x, y)
        if frame.rows[y][x].strip() and own.placeholder in style:
            plain = dataclasses.replace(frame, style=_restyled(frame, x, y, style - {own.placeholder}))
            assert judged(name, plain).seen is not Seen.EMPTY, f"a letter of a draft at {x}"
    wrong = {
        "a letter": _put(frame, own.text_column + 1, y, "x"),
        "no marker": _put(frame, 0, y, " "),
        "another marker": _put(frame, 0, y, "!"),
        "a marker of another style": dataclasses.replace(
            frame, style=_restyled(frame, 0, y, frozenset({"faint", *own.marker_styles}))
        ),
        "a cursor shown or hidden": dataclasses.replace(frame, cursor_visible=not frame.cursor_visible),
        "a word right under it": _put(frame, 2, y + 1, "x") if not own.rule else _put(frame, 0, y + 1, "x"),
        "more rows under it": None
        if own.rule
        else dataclasses.replace(frame, rows=(*frame.rows, *[()] * own.rows_below, tuple("  a draft's end"))),
        "no rule above": _put(frame, 0, y - 1, " ") if own.rule else None,
        "a low screen": dataclasses.replace(
            frame, rows=frame.rows[y - 1 : y + 3], cursor=(frame.cursor[0], 1)
        ),
        "nothing at all": dataclasses.replace(frame, rows=()),
    }
    for what, other in wrong.items():
        if other is not None:
            assert judged(name, other).seen is not Seen.EMPTY, what


@pytest.mark.parametrize("name", empty_ones())
def test_the_cursor_anywhere_else_is_not_an_empty_box(name: str) -> None:
    frame = played(name).frame()
    for y, row in enumerate(frame.rows):
        for x in sorted({*range(5), *range(5, len(row) + 2, 11)}):
            if (x, y) != frame.cursor:
                elsewhere = dataclasses.replace(frame, cursor=(x, y))
                assert judged(name, elsewhere).seen is not Seen.EMPTY


@pytest.mark.parametrize("name", ["claude", "codex"])
def test_a_screen_that_nobody_drew_is_empty_only_by_the_letter_of_the_rules(name: str) -> None:
    rng = random.Random(name)
    own = rules(name)
    letters = [own.marker, own.rule or " ", " ", " ", " ", "x", "1", ".", "\u00a0", "漢"]
    seen: set[Seen] = set()
    for _ in range(1_000):
        frame = _noise(rng, own, letters)
        verdict = BoxJudge(own).look(frame)
        seen.add(verdict.seen)
        if verdict.seen is Seen.EMPTY:
            x, y = frame.cursor
            row = frame.rows[y]
            assert (x, row[0], frame.style(0, y)) == (
                own.text_column,
                own.marker,
                frozenset(own.marker_styles),
            )
            assert all(
                own.placeholder in frame.style(at, y) or "inverse" in frame.style(at, y)
                for at in range(2, len(row))
                if row[at].strip()
            )
    assert Seen.EMPTY in seen, "the noise never came near a box: this shows nothing"
    assert Seen.DRAFT in seen


@pytest.mark.parametrize("name", [name for name in names() if "busy" in name or "approval" in name])
def test_a_working_programs_screen_is_never_an_empty_box_however_it_is_cut(name: str) -> None:
    """Half a frame, a spinner between two draws, a dialog that is only begun."""
    rng, judge = random.Random(name), BoxJudge(rules(name))
    at_work = False
    for screen in cut(name, lambda: rng.choice((1, 7, 40, 200))):
        seen = judge.look(screen.frame()).seen
        at_work = at_work or seen in (Seen.BUSY, Seen.DIALOG)
        assert not (at_work and seen is Seen.EMPTY and not screen.mode(SYNCHRONIZED))
    assert at_work


def test_what_is_typed_unseen_is_a_dialog() -> None:
    assert BoxJudge(rules("codex")).look(played("codex-fresh").frame(), hidden=True).seen is Seen.DIALOG


@pytest.mark.parametrize("name", ["claude", "codex"])
def test_a_blank_screen_is_unknown(name: str) -> None:
    assert BoxJudge(rules(name)).look(Screen(80, 24).frame()).seen is Seen.UNKNOWN


@pytest.mark.parametrize("name", empty_ones())
def test_a_screen_copied_row_by_row_with_its_cursor_placed_is_judged_the_same(name: str) -> None:
    """As `bridge attach` sees it: rows with their styles, and where the cursor is."""
    frame = played(name).frame()
    copy = Screen(max(map(len, frame.rows)), len(frame.rows))
    copy.feed("\r\n".join(_painted(frame, y) for y in range(len(frame.rows))).encode())
    copy.place(*frame.cursor, visible=frame.cursor_visible)
    assert judged(name, copy.frame()).seen is Seen.EMPTY


def _painted(frame: Frame, y: int) -> str:
    codes = {"bold": "1", "faint": "2", "italic": "3", "inverse": "7"}
    out = ""
    for x, cell in enumerate(frame.rows[y]):
        sgr = ";".join(["0", *(codes[style] for style in sorted(frame.style(x, y)))])
        out += f"\x1b[{sgr}m{cell}\x1b[0m"
    return out


def _put(frame: Frame, x: int, y: int, letter: str) -> Frame:
    row = [*frame.rows[y], *" " * (x + 1 - len(frame.rows[y]))]
    row[x] = letter
    rows = (*frame.rows[:y], tuple(row), *frame.rows[y + 1 :])
    return dataclasses.replace(frame, rows=rows, style=_restyled(frame, x, y, frozenset()))


def _restyled(frame: Frame, x: int, y: int, style: frozenset[str]):  # type: ignore[no-untyped-def]  # noqa: ANN202
    return lambda at_x, at_y: style if (at_x, at_y) == (x, y) else frame.style(at_x, at_y)


def _noise(rng: random.Random, own: Rules, letters: list[str]) -> Frame:
    rows = [[rng.choice(letters) for _ in range(12)] for _ in range(8)]
    styles = {
        (x, y): frozenset(rng.sample(["bold", "faint", "inverse", "italic"], rng.choice([0, 0, 1, 1, 2])))
        for x in range(12)
        for y in range(8)
    }
    y = rng.randrange(8)
    if rng.random() < 0.7:  # near a box: most of what it takes, most of the time
        blank = rng.random() < 0.5
        rows[y] = [own.marker, " ", *(" " if blank else rng.choice(letters) for _ in range(10))]
        styles[0, y] = frozenset(own.marker_styles) if rng.random() < 0.9 else styles[0, y]
        for x in range(2, 12):
            styles[x, y] = frozenset({own.placeholder}) if rng.random() < 0.9 else frozenset()
        for beside in (y - 1, y + 1):
            if 0 <= beside < 8:
                rows[beside] = [own.rule or " "] * 12 if rng.random() < 0.9 else rows[beside]
        for under in range(y + 2, 8):
            rows[under] = [" "] * 12 if rng.random() < 0.8 else rows[under]
    visible = own.cursor_shown if rng.random() < 0.9 else not own.cursor_shown
    cursor = (2 if rng.random() < 0.8 else rng.randrange(12), y)
    return Frame(
        left="",
        cursor=cursor,
        cursor_visible=visible,
        rows=tuple(map(tuple, rows)),
        style=lambda x, y: styles.get((x, y), frozenset()),
    )
