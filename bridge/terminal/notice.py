"""What the human at a terminal is told of wakes that wait for him: the terminal's title, and nothing else.

Rules of this file:
- Never a byte on the screen. The title is written between two of the program's own sequences, never inside of one.
- Our own words only: what came over the link is made printable and short before it is part of a sequence.
- It counts down once a second at most, ends by itself some seconds after its time, and then gives back the title that
  the program had set, or the one from before us.
"""

import re
from typing import Final

TITLE_CHARS_MAX: Final = 200
WHY_CHARS_MAX: Final = 80
WAKES_MAX: Final = 9_999
AGAIN_S_MAX: Final = 86_400.0
LAPSE_S: Final = 10.0
TICK_S: Final = 1.0
UNSETTLED_S: Final = 0.1
OPEN_BYTES_MAX: Final = 4_096
LETTER_BYTES_MAX: Final = 4
_MINUTE_S: Final = 60
_ESC: Final = b"\x1b"
_SAVE_TITLE: Final = b"\x1b[22;2t"
_BRING_TITLE: Final = b"\x1b[23;2t"
_SEQUENCE: Final = re.compile(
    rb"\x1b(?:"
    rb"\][^\x07\x18\x1a\x1b]*(?:\x07|\x18|\x1a|\x1b\\|(?=\x1b[^\\]))"  # OSC
    rb"|[PX^_][^\x18\x1a\x1b]*(?:\x18|\x1a|\x1b\\|(?=\x1b[^\\]))"  # DCS, SOS, PM, APC
    rb"|\[[^\x40-\x7e\x18\x1a\x1b]*(?:[\x40-\x7e\x18\x1a]|(?=\x1b))"  # CSI
    rb"|[\x20-\x2f]+(?:[\x30-\x7e]|(?=[^\x20-\x7e]))"
    rb"|[^\x20-\x2fPX\[\]^_\x1b]"
    rb"|(?=\x1b)"
    rb")"
)
_TITLE: Final = re.compile(rb"\x1b\][02];([^\x00-\x1f\x7f]*)")


def notice_text(wakes: int, why: str, again_s: float) -> str:
    """`⏳ 1 wake waits: you typed 3 s ago - again in 4 s`."""
    count = "1 wake waits" if wakes == 1 else f"{wakes} wakes wait"
    reason = harmless(why, WHY_CHARS_MAX).replace("a human typed", "you typed", 1)
    said = f"⏳ {count}: {reason}" if reason else f"⏳ {count}"
    return f"{said} - again {_in(again_s)}"


def harmless(text: str, chars_max: int) -> str:
    """The printable part of a text, and not more of it than fits."""
    return "".join(sign for sign in text[: 4 * chars_max] if sign.isprintable())[:chars_max].strip()


def _in(seconds: float) -> str:
    whole = max(0, round(seconds))
    if whole == 0:
        return "now"
    return f"in {whole} s" if whole < 2 * _MINUTE_S else f"in {whole // _MINUTE_S} min"


class Notice:
    """The title that says what waits. `due_at` is when `words` has something to say next."""

    def __init__(self, *, quiet: bool = False) -> None:
        """Nothing waits. `quiet`: and nothing is ever said."""
        self._quiet = quiet
        self._wakes, self._why, self._again_at = 0, "", 0.0
        self._shown = ""
        self._own = b""
        self._open = b""
        self._last = b""
        self.due_at: float | None = None

    def heard(self, message: dict[str, object], now: float) -> None:
        """Take the host's word for what waits, among all that it says; what is malformed: that nothing does."""
        if self._quiet or message.get("op") != "waiting":
            return
        wakes, why, again_s = message.get("wakes"), message.get("why"), message.get("again_in_s")
        known = isinstance(wakes, int) and isinstance(again_s, int | float) and isinstance(why, str)
        self._wakes = min(int(wakes), WAKES_MAX) if known and isinstance(wakes, int) else 0
        self._why = why if isinstance(why, str) else ""
        seconds = float(again_s) if known and isinstance(again_s, int | float) else 0.0
        self._again_at = now + min(max(0.0, seconds), AGAIN_S_MAX)
        self.due_at = now if self._wakes > 0 or self._shown else None

    def saw(self, data: bytes) -> None:
        """Follow the program's output: its own title, and whether it stands between two sequences."""
        if self._quiet:
            return
        self._last = (self._last + data)[-LETTER_BYTES_MAX:]
        data = self._open + data
        at = 0
        self._open = b""
        while (esc := data.find(_ESC, at)) >= 0:
            found = _SEQUENCE.match(data, esc)
            if found is None:
                rest = data[esc:]
                self._open = rest if len(rest) <= OPEN_BYTES_MAX else rest[:2] + rest[-1:]
                return
            if title := _TITLE.match(data, esc):
                self._own = title[1].decode(errors="ignore")[:TITLE_CHARS_MAX].encode()
                self._shown = "" if not self._shown else "?"  # it stands where ours stood
            at = max(found.end(), esc + 1)

    def words(self, now: float) -> bytes:
        """What is to be written to the terminal now; empty while it says what it should."""
        if self.due_at is None or now < self.due_at:
            return b""
        if self._open or _ends_in_half_a_letter(self._last):
            self.due_at = now + UNSETTLED_S
            return b""
        if self._wakes <= 0 or now >= self._again_at + LAPSE_S:
            return self.over()
        self.due_at = now + TICK_S
        text = harmless(notice_text(self._wakes, self._why, self._again_at - now), TITLE_CHARS_MAX)
        if text == self._shown:
            return b""
        first, self._shown = not self._shown, text
        return (_SAVE_TITLE if first else b"") + _titled(text.encode())

    def over(self) -> bytes:
        """Give back the title that was there; empty when ours is not shown."""
        self._wakes, self.due_at = 0, None
        shown, self._shown = self._shown, ""
        if not shown:
            return b""
        return _titled(b"") + _BRING_TITLE + (_titled(self._own) if self._own else b"")


def _titled(text: bytes) -> bytes:
    return b"\x1b]2;" + text + b"\x07"


def _ends_in_half_a_letter(data: bytes) -> bool:
    """Whether the last bytes begin a UTF-8 letter that is not whole yet."""
    for back in range(1, len(data) + 1):
        byte = data[-back]
        if byte & 0xC0 == 0x80:  # noqa: PLR2004  a byte within a letter
            continue
        length = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1  # noqa: PLR2004
        return length > back
    return False
