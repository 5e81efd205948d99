"""What arrives from the user's terminal, cut into tokens.

Rules of this file:
- Pure: bytes and a time in, tokens out. Joined together, the tokens are the input: no byte is lost, added
  or moved.
- A token says who made it. KEY and PASTE are a human's; MOUSE is a human who is there but writes nothing;
  REPLY and FOCUS are the terminal's own words; RELEASE is a key let go.
- An escape sequence that is not finished is kept until it is, or until it has not grown for `HELD_S_MAX`:
  then it was a key (somebody pressed Escape). Calling a reply a key costs a delay; calling a key a reply
  would cost a draft.
"""

import re
from enum import StrEnum
from typing import Final, NamedTuple

HELD_S_MAX: Final = 0.05
PASTE_S_MAX: Final = 5.0
HELD_BYTES_MAX: Final = 65_536

_ESC: Final = 0x1B
_PASTE_START: Final = b"\x1b[200~"
_PASTE_END: Final = b"\x1b[201~"
_CSI: Final = re.compile(rb"\x1b\[([0-?]*)([ -/]*)([@-~])")
_CSI_PART: Final = re.compile(rb"\x1b\[[0-?]*[ -/]*")
_STRING: Final = re.compile(rb"\x1b(?:\][^\x07\x18\x1a\x1b]*(?:\x07|\x1b\\)|[P_^X][^\x18\x1a\x1b]*\x1b\\)")
_STRING_PART: Final = re.compile(rb"\x1b(?:\][^\x07\x18\x1a\x1b]*|[P_^X][^\x18\x1a\x1b]*)")
_CURSOR: Final = re.compile(rb"\d+;\d+")
_RELEASED: Final = re.compile(rb"[\d:]*;\d*:3(?:;[\d:]*)?")
_X10_MOUSE: Final = b"\x1b[M"
_X10_MOUSE_BYTES: Final = 6


class Kind(StrEnum):
    """Who made a token."""

    KEY = "key"
    PASTE = "paste"
    MOUSE = "mouse"
    RELEASE = "release"
    REPLY = "reply"
    FOCUS = "focus"
    CURSOR_REPLY = "cursor_reply"


HUMAN: Final = frozenset({Kind.KEY, Kind.PASTE, Kind.MOUSE})
"""The tokens that show a human at the keyboard."""

HELD: Final = HUMAN | {Kind.RELEASE}
"""The tokens that wait while a wake is being typed; the others always pass."""


class Token(NamedTuple):
    """Some bytes of the input and who made them."""

    kind: Kind
    data: bytes


class Tokeniser:
    """Cuts the input stream; feed it what was read, flush it when nothing came."""

    def __init__(self) -> None:
        """Start with nothing read."""
        self._buf = b""
        self._grown_at = 0.0
        self._in_paste = False
        self._reports = 0

    @property
    def pending(self) -> bool:
        """Whether something is half read: an escape sequence or an open paste."""
        return bool(self._buf) or self._in_paste

    def expect_cursor_reports(self, count: int) -> None:
        """Say that the program asked for the cursor `count` times: Shift-F3 looks the same as the answer."""
        self._reports += count

    def feed(self, data: bytes, now: float) -> list[Token]:
        """Take what was read; return every token that is whole."""
        self._buf += data
        self._grown_at = now
        tokens: list[Token] = []
        while self._buf and (token := self._next()) is not None:
            self._buf = self._buf[len(token.data) :]
            tokens.append(token)
        if len(self._buf) > HELD_BYTES_MAX:
            tokens += self._give_up()
        return tokens

    def flush(self, now: float) -> list[Token]:
        """Return what has been held for too long: it was a key after all."""
        held_s = now - self._grown_at
        if self._in_paste and held_s >= PASTE_S_MAX:
            self._in_paste = False
        if self._buf and held_s >= HELD_S_MAX:
            return self._give_up()
        return []

    def _give_up(self) -> list[Token]:
        token = Token(Kind.PASTE if self._in_paste else Kind.KEY, self._buf)
        self._buf = b""
        return [token]

    def _next(self) -> Token | None:
        buf = self._buf
        if self._in_paste:
            return self._pasted(buf)
        if buf[0] != _ESC:
            end = buf.find(_ESC)
            return Token(Kind.KEY, buf if end < 0 else buf[:end])
        return self._escape(buf) if len(buf) > 1 else None

    def _escape(self, buf: bytes) -> Token | None:
        if buf[1:2] == b"[":
            return self._csi(buf)
        if buf[1:2] in (b"]", b"P", b"_", b"^", b"X"):
            return self._string(buf)
        if buf[1:2] == b"O":
            return Token(Kind.KEY, buf[:3]) if len(buf) >= len(b"\x1bOA") else None
        return Token(Kind.KEY, buf[:1] if buf[1] == _ESC else buf[:2])

    def _pasted(self, buf: bytes) -> Token | None:
        end = buf.find(_PASTE_END)
        if end >= 0:
            self._in_paste = False
            return Token(Kind.PASTE, buf[: end + len(_PASTE_END)])
        keep = next((n for n in range(len(_PASTE_END) - 1, 0, -1) if buf.endswith(_PASTE_END[:n])), 0)
        return Token(Kind.PASTE, buf[: len(buf) - keep]) if len(buf) > keep else None

    def _csi(self, buf: bytes) -> Token | None:
        if buf.startswith(_X10_MOUSE):
            return Token(Kind.MOUSE, buf[:_X10_MOUSE_BYTES]) if len(buf) >= _X10_MOUSE_BYTES else None
        whole = _CSI.match(buf)
        if whole is None:
            part = _CSI_PART.match(buf)
            assert part is not None  # noqa: S101  the caller saw ESC [
            return Token(Kind.KEY, part[0]) if part.end() < len(buf) else None
        if whole[0] == _PASTE_START:
            self._in_paste = True
            return Token(Kind.PASTE, whole[0])
        return Token(self._csi_kind(whole[1], whole[2], whole[3]), whole[0])

    def _csi_kind(self, params: bytes, between: bytes, final: bytes) -> Kind:
        if not params and not between and final in (b"I", b"O"):
            return Kind.FOCUS
        if final == b"R" and _CURSOR.fullmatch(params) and self._reports > 0:
            self._reports -= 1
            return Kind.CURSOR_REPLY
        if final == b"M" or (final == b"m" and params.startswith(b"<")):
            return Kind.MOUSE
        if _RELEASED.fullmatch(params) and (final in b"u~" or final.isupper()):
            return Kind.RELEASE
        if params + between + final == b"201~":
            return Kind.PASTE
        return Kind.REPLY if _is_reply(params, between, final) else Kind.KEY

    def _string(self, buf: bytes) -> Token | None:
        whole = _STRING.match(buf)
        if whole is not None:
            return Token(Kind.REPLY, whole[0])
        part = _STRING_PART.match(buf)
        assert part is not None  # noqa: S101  the caller saw an introducer
        rest = buf[part.end() :]
        return None if rest in (b"", b"\x1b") else Token(Kind.KEY, part[0])


def _is_reply(params: bytes, between: bytes, final: bytes) -> bool:
    private = params[:1] in (b"?", b">")
    return (
        (private and final in (b"c", b"u", b"R"))
        or (between == b"$" and final == b"y")
        or (not between and final in (b"n", b"t"))
    )
