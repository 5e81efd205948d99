"""What a search asks for, and the part of a text that is shown."""

import pytest

from bridge.core.errors import InvalidArgument
from bridge.core.search import CUT, MARKS_MAX, SNIPPET_CHARS_MAX, snippet, wanted


@pytest.mark.parametrize(
    ("q", "query", "words"),
    [
        ("broken build", "broken build", ("broken", "build")),
        ('"broken build" red', '"broken build" red', ("broken", "build", "red")),
        ("build -green", "build -green", ("build",)),
        ('build -"all green"', 'build -"all green"', ("build",)),
        ("this or that", "this or that", ("this", "that")),
        ('"or"', '"or"', ("or",)),
        ("core/wake.py", '"core wake py"', ("core", "wake", "py")),
        ("due_at", '"due at"', ("due", "at")),
        ("build -core/wake.py", 'build -"core wake py"', ("build",)),
        ('an "open quote', 'an "open quote"', ("an", "open", "quote")),
        ("Größe — 大小", "Größe 大小", ("Größe", "大小")),
        ("a & !b | (c:*)", "a b c", ("a", "b", "c")),
    ],
)
def test_a_query_is_words_phrases_and_what_to_leave_out(q: str, query: str, words: tuple[str, ...]) -> None:
    found = wanted(q)
    assert (found.query, found.words) == (query, words)


@pytest.mark.parametrize("q", ["", "  ", "-green", "or", '""', "- . /", '-"all green" -red'])
def test_a_query_without_a_word_to_look_for_is_refused(q: str) -> None:
    with pytest.raises(InvalidArgument, match="name a word"):
        wanted(q)


def shown(text: str, *words: str) -> list[str]:
    part = snippet(text, words)
    return [part.text[start:end] for start, end in part.marks]


def test_the_marks_say_where_whole_words_stand_whatever_their_case() -> None:
    text = "Wake the waker, not\n  the WAKE; see core/wake.py and wake_at"
    assert shown(text, "wake") == ["Wake", "WAKE", "wake", "wake"]
    assert snippet(text, ("wake",)).text == "Wake the waker, not the WAKE; see core/wake.py and wake_at"


def test_a_snippet_is_around_the_first_word_and_says_where_it_was_cut() -> None:
    text = "before " * 300 + "here it is " + "after " * 300
    part = snippet(text, ("here", "after"))
    assert len(part.text) == SNIPPET_CHARS_MAX + 2 * len(CUT)
    assert (part.text[0], part.text[-1]) == (CUT, CUT)
    assert shown(text, "here", "after")[:2] == ["here", "after"]
    assert len(shown("x " * 300, "x")) == MARKS_MAX


def test_where_no_word_is_found_the_beginning_is_shown() -> None:
    assert snippet("some text", ("other",)) == snippet("some text", ("else",))
    assert snippet("some text", ("other",)).text == "some text"
