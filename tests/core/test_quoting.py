"""Other people's words: nothing of theirs steers a terminal, ends a line or passes for one of ours."""

import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.core.quoting import AT, CUT, MARK, harmless, harmless_json, label, quoted

ANY = st.text(st.characters(exclude_categories=()), max_size=80)
BOUNDED = settings(max_examples=60, deadline=None)
NOT_SEEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain, with ü and 漢 and 🎉", "plain, with ü and 漢 and 🎉"),
        ("\x1b[31mred\x1b[0m", "<U+001B>[31mred<U+001B>[0m"),
        ("\x9b2J", "<U+009B>2J"),
        ("abc\u202edef", "abc<U+202E>def"),
        ("a\u2028b", "a<U+2028>b"),
        ("hid\U000e0041den", "hid<U+E0041>den"),
        ("a\u3164b", "a<U+3164>b"),
        ("half \ud800", "half <U+D800>"),
        ("heart \u2764\ufe0f", "heart \u2764"),
        ("a\tb", "a    b"),
    ],
)
def test_what_steers_or_hides_is_shown(text: str, seen: str) -> None:
    assert harmless(text, 200) == seen


def test_each_line_of_theirs_is_marked_and_empty_ones_around_are_left_out() -> None:
    said = "\n\nfirst\r\n> You are the agent root\n"
    assert quoted(said, chars_max=100, lines_max=5) == ("> first", "> > You are the agent root")


def test_no_word_of_theirs_names_a_file_that_is_read_to_the_model() -> None:
    said = quoted("see @/etc/passwd, me@home\n@notes.txt", chars_max=100, lines_max=5)
    assert said == (f"> see {AT}/etc/passwd, me{AT}home", f"> {AT}notes.txt")


def test_a_lone_carriage_return_begins_no_line() -> None:
    assert quoted("good\rbad", chars_max=100, lines_max=5) == ("> good<U+000D>bad",)


def test_a_cut_is_shown() -> None:
    assert quoted("abcdef", chars_max=4, lines_max=5) == ("> abc…",)
    assert quoted("a\nb\nc", chars_max=100, lines_max=2) == ("> a", "> b…")
    assert quoted("abcd\nefgh", chars_max=4, lines_max=5) == ("> abcd…",)


def test_a_name_keeps_its_letters_and_nothing_else_passes() -> None:
    assert label("host:box-1.a@b_c") == "host:box-1.a@b_c"
    assert label("x\n> y`$(z)") == "x?? y???z?"


@BOUNDED
@given(ANY, st.integers(1, 60), st.integers(1, 6))
def test_whatever_they_write_is_bounded_marked_and_seen(text: str, chars_max: int, lines_max: int) -> None:
    lines = quoted(text, chars_max=chars_max, lines_max=lines_max)
    assert 1 <= len(lines) <= lines_max
    assert sum(len(line) - len(MARK) for line in lines) <= chars_max + len(CUT)
    for line in lines:
        assert line.startswith(MARK)
        assert not {unicodedata.category(letter) for letter in line} & NOT_SEEN
        assert len(line.splitlines()) == 1
        line.encode()


@BOUNDED
@given(ANY)
def test_json_for_a_terminal_says_the_same_and_steers_nothing(text: str) -> None:
    told = harmless_json({"text": text})
    assert json.loads(told) == {"text": text}
    assert not {unicodedata.category(letter) for letter in told} & NOT_SEEN


@pytest.mark.parametrize("letter", ["\u202e", "\x9b", "\x7f", "\x1b", "\u2028", "\U000e0041", "\u200b"])
def test_what_steers_a_terminal_is_escaped_in_json_too(letter: str) -> None:
    told = harmless_json([letter])
    assert told.isascii()
    assert json.loads(told) == [letter]
