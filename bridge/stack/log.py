"""The manager's output: one line at a time, prefixed with the name of who said it, coloured on a terminal.

Output of a child is not trusted: control characters go, and a line without end is cut, so that nobody can
draw on the operator's terminal or fill the manager's memory. Whatever a child writes is read, or the child
would stand still. Lines in JSON are put into words for people; the processes keep writing JSON.
"""

import asyncio
import json
import os
from collections.abc import Callable
from typing import TextIO

LINE_BYTES_MAX = 65536
NAME_WIDTH = 10
CHUNK_BYTES = 65536

_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)
_CONTROLS = {code: None for code in (*range(32), *range(127, 160)) if code != ord("\t")}


def readable(line: str) -> list[str]:
    """A log line in JSON as people read it: time, level, event, the rest; a traceback line by line below it."""
    if not line.startswith("{"):
        return [line]
    try:
        said = json.loads(line)
    except ValueError:
        return [line]
    if not isinstance(said, dict) or "event" not in said:
        return [line]
    at = str(said.pop("timestamp", "")).partition("T")[2][:12]
    level = str(said.pop("level", "")).upper()
    event = said.pop("event")
    trace = str(said.pop("exception", "")).splitlines()
    said.pop("logger", None)
    words = [
        at,
        level if level != "INFO" else "",
        str(event),
        *(f"{name}={value}" for name, value in said.items()),
    ]
    return [" ".join(word for word in words if word), *(f"    {one}" for one in trace)]


class Lines:
    """Where lines go. When the reader is gone they go nowhere: the stack outlives its terminal."""

    def __init__(self, stream: TextIO, *, colour: bool, raw: bool = False) -> None:
        self._stream = stream
        self._raw = raw
        self._colour = colour
        self._colour_of: dict[str, int] = {}

    def tell(self, name: str, text: str) -> None:
        """Write what `name` said."""
        prefix = f"{name:<{NAME_WIDTH}} | "
        if self._colour:
            shade = self._colour_of.setdefault(name, _COLOURS[len(self._colour_of) % len(_COLOURS)])
            prefix = f"\x1b[{shade}m{prefix}\x1b[0m"
        for line in [text] if self._raw else readable(text):
            self.write(f"{prefix}{line.translate(_CONTROLS)}\n")

    def write(self, text: str) -> None:
        """Write text as it is."""
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # ValueError: the stream was closed
            return


def terminal_lines(environment: dict[str, str], stream: TextIO, *, raw: bool = False) -> Lines:
    """Lines to a stream, in colour when somebody looks at them and has not said NO_COLOR."""
    return Lines(stream, colour=stream.isatty() and not environment.get("NO_COLOR"), raw=raw)


async def pump(pipe: int, said: Callable[[str], None]) -> None:
    """Read a pipe to its end, close it, and hand over line by line; a line that is too long is cut."""
    source = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(source), os.fdopen(pipe, "rb", buffering=0)
    )
    try:
        await _hand_over(source, said)
    finally:
        transport.close()


async def _hand_over(source: asyncio.StreamReader, said: Callable[[str], None]) -> None:
    rest = b""
    cutting = False
    while chunk := await source.read(CHUNK_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if not cutting:
                said(_text(line))
            cutting = False
        if len(rest) > LINE_BYTES_MAX:
            if not cutting:
                said(_text(rest))
            cutting, rest = True, b""
    if rest and not cutting:
        said(_text(rest))


def _text(line: bytes) -> str:
    text = line[:LINE_BYTES_MAX].decode(errors="replace").rstrip()
    return f"{text} [cut]" if len(line) > LINE_BYTES_MAX else text
