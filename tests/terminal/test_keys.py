"""The tokeniser: every byte once and in order, and who made it."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.terminal.keys import HELD_S_MAX, PASTE_S_MAX, Kind, Token, Tokeniser

SAMPLES = [
    (b"a", Kind.KEY),
    ("é漢🙂".encode(), Kind.KEY),
    (b"\r", Kind.KEY),
    (b"\x03", Kind.KEY),
    (b"\x7f", Kind.KEY),
    (b"\x1b[A", Kind.KEY),
    (b"\x1bOP", Kind.KEY),
    (b"\x1b[1;5C", Kind.KEY),
    (b"\x1b[3~", Kind.KEY),
    (b"\x1b[15;2~", Kind.KEY),
    (b"\x1bx", Kind.KEY),
    (b"\x1b[Z", Kind.KEY),
    (b"\x1b[97u", Kind.KEY),
    (b"\x1b[97;5u", Kind.KEY),
    (b"\x1b[97;1:1u", Kind.KEY),
    (b"\x1b[97;1:2u", Kind.KEY),
    (b"\x1b[1;2R", Kind.KEY),  # Shift-F3, as nobody asked for the cursor
    (b"\x1b[97;1:3u", Kind.RELEASE),
    (b"\x1b[3;1:3~", Kind.RELEASE),
    (b"\x1b[1;1:3A", Kind.RELEASE),
    (b"\x1b[I", Kind.FOCUS),
    (b"\x1b[O", Kind.FOCUS),
    (b"\x1b[<0;10;10M", Kind.MOUSE),
    (b"\x1b[<64;10;10m", Kind.MOUSE),
    (b"\x1b[M !!", Kind.MOUSE),
    (b"\x1b[32;10;10M", Kind.MOUSE),
    (b"\x1b[?62;22c", Kind.REPLY),
    (b"\x1b[>1;10;0c", Kind.REPLY),
    (b"\x1b[?7u", Kind.REPLY),
    (b"\x1b[?5;7R", Kind.REPLY),
    (b"\x1b[?2026;2$y", Kind.REPLY),
    (b"\x1b[0n", Kind.REPLY),
    (b"\x1b[?997;1n", Kind.REPLY),
    (b"\x1b[8;24;80t", Kind.REPLY),
    (b"\x1b]11;rgb:0000/0000/0000\x07", Kind.REPLY),
    (b"\x1b]10;rgb:ffff/ffff/ffff\x1b\\", Kind.REPLY),
    (b"\x1bP1+r544e=787465726d\x1b\\", Kind.REPLY),
    (b"\x1b_Gi=1;OK\x1b\\", Kind.REPLY),
    (b"\x1b[200~two\nlines \x1b[A\x1b[201~", Kind.PASTE),
]


def joined(tokens: list[Token]) -> list[Token]:
    """Neighbours of one kind as one token: how input is cut up inside a kind is nobody's business."""
    groups = itertools.groupby(tokens, key=lambda token: token.kind)
    return [Token(kind, b"".join(token.data for token in group)) for kind, group in groups]


@pytest.mark.parametrize(("data", "kind"), SAMPLES)
def test_a_sample_is_known_whole_and_byte_by_byte(data: bytes, kind: Kind) -> None:
    for pieces in ([data], [bytes([byte]) for byte in data]):
        keys = Tokeniser()
        tokens = [token for piece in pieces for token in keys.feed(piece, 0.0)]
        assert joined(tokens) == [Token(kind, data)]
        assert not keys.pending


def test_an_expected_cursor_report_is_a_reply_and_the_next_one_is_a_key() -> None:
    keys = Tokeniser()
    keys.expect_cursor_reports(1)
    kinds = [token.kind for token in keys.feed(b"\x1b[1;2R\x1b[1;2R", 0.0)]
    assert kinds == [Kind.CURSOR_REPLY, Kind.KEY]


def test_escape_alone_is_a_key_once_nothing_follows() -> None:
    keys = Tokeniser()
    assert keys.feed(b"\x1b", 1.0) == []
    assert keys.pending
    assert keys.flush(1.0 + HELD_S_MAX / 2) == []
    assert keys.flush(1.0 + HELD_S_MAX) == [Token(Kind.KEY, b"\x1b")]
    assert not keys.pending


def test_an_open_paste_is_pending_until_it_ends_or_is_given_up() -> None:
    keys = Tokeniser()
    keys.feed(b"\x1b[200~text", 0.0)
    assert keys.flush(1.0) == []
    assert keys.pending
    keys.flush(PASTE_S_MAX)
    assert keys.feed(b"x", 6.0) == [Token(Kind.KEY, b"x")]


def test_a_string_without_an_end_is_not_kept_for_ever() -> None:
    keys = Tokeniser()
    data = b"\x1b]52;c;" + b"A" * 100_000
    assert b"".join(token.data for token in keys.feed(data, 0.0)) == data


@given(
    st.lists(st.one_of(st.sampled_from([data for data, _ in SAMPLES]), st.binary(max_size=6)), max_size=12),
    st.data(),
)
def test_cut_anywhere_no_byte_is_lost_or_moved(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    keys = Tokeniser()
    out: list[Token] = []
    now = 0.0
    for start, end in itertools.pairwise([0, *cuts, len(stream)]):
        out += keys.feed(stream[start:end], now)
        now += data.draw(st.sampled_from([0.0, 0.01, 0.06]))
        out += keys.flush(now)
    out += keys.flush(now + HELD_S_MAX)
    assert b"".join(token.data for token in out) == stream


@given(st.lists(st.sampled_from(SAMPLES), max_size=12), st.data())
def test_cut_anywhere_without_a_pause_everything_is_judged_the_same(
    parts: list[tuple[bytes, Kind]], data: st.DataObject
) -> None:
    stream = b"".join(part for part, _ in parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    keys = Tokeniser()
    out: list[Token] = []
    for start, end in itertools.pairwise([0, *cuts, len(stream)]):
        out += keys.feed(stream[start:end], 0.0)
    assert joined(out) == joined([Token(kind, part) for part, kind in parts])
