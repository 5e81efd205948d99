"""What the human typed while a wake was being typed reaches the program as he would have typed it."""

from bridge.terminal.held import GAP_S, HeldKeys
from bridge.terminal.keys import Kind, Token

SOON = GAP_S + 0.01


def keys(*typed: bytes) -> HeldKeys:
    held = HeldKeys()
    for data in typed:
        held.keep(Token(Kind.KEY, data))
    return held


def gone(held: HeldKeys, now: float) -> bytes:
    return b"".join(token.data for token in held.release(now))


def test_letters_go_at_once_and_in_order() -> None:
    held = keys(b"a", b"b", b"c")
    assert gone(held, 1.0) == b"abc"
    assert not held


def test_enter_comes_alone_after_letters_and_before_others() -> None:
    held = keys(b"a", b"\r", b"b")
    assert gone(held, 1.0) == b"a"
    assert gone(held, 1.0 + GAP_S / 2) == b""
    assert gone(held, 1.0 + SOON) == b"\r"
    assert gone(held, 1.0 + 1.5 * SOON) == b""
    assert gone(held, 1.0 + 2 * SOON) == b"b"
    assert not held


def test_enter_by_its_number_is_enter() -> None:
    held = keys(b"a", b"\x1b[13;1:1u")
    assert gone(held, 1.0) == b"a"
    assert held


def test_enter_alone_waits_for_nothing() -> None:
    assert gone(keys(b"\r"), 1.0) == b"\r"


def test_what_comes_later_queues_behind() -> None:
    held = keys(b"a", b"\r")
    assert gone(held, 1.0) == b"a"
    held.keep(Token(Kind.KEY, b"x"))
    assert gone(held, 1.0 + SOON) == b"\r"
    assert gone(held, 1.0 + 2 * SOON) == b"x"
