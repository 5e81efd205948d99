"""A fake agent program in a terminal, with one oddity of the field at a time, that writes down what really happened.

Run in a bare interpreter, with what it is told as one JSON argument. The truth goes to a file, one JSON object a
line: every byte it got, each prompt it took, each dialog it was made to answer, each secret it was given.
"""

import contextlib
import fcntl
import json
import os
import re
import select
import signal
import struct
import sys
import termios
import time
import tty
from typing import Any, Final

from bridge.conformance.programs.looks import Scene, draw

PASTE: Final = re.compile(r"(\x1b\[20[01]~)")
START: Final = "\x1b[200~"
END: Final = "\x1b[201~"
TICK_S: Final = 0.08
FLASH_S: Final = (0.7, 0.2)  # busy, and the box between two tool calls
NATIVE_ID: Final = "01a20235-581c-7000-8000-00000000c0de"
ASKING: Final = frozenset({"dialog", "secret"})
GONE_BY_S: Final = 120.0
KEYS: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z~]|\x1b[O].|\x1b|[\s\S]")


class Tui:
    """The program: a box with an editor, and the oddities it was told to have."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.told = told
        self.truth = os.open(told["truth"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.scene = Scene(
            draft=told.get("draft", ""),
            placeholder=told.get("placeholder"),
            ghost=told.get("ghost", ""),
            ghost_dim=told.get("ghost_dim", True),
            prompt=told.get("prompt", "> "),
            state=told.get("state", "idle"),
        )
        self.pasting = False
        self.pasted_at = -1.0
        self.swallow = int(told.get("swallow", 0))
        self.draw_at: float | None = 0.0
        self.turn_ends: float | None = None
        self.began = time.monotonic()
        self.record = self.native(told["native"]) if "native" in told else None
        self.queue_seen: float | None = None

    def log(self, event: str, **facts: object) -> None:
        """One line of the truth."""
        os.write(self.truth, json.dumps({"event": event, **facts}).encode() + b"\n")

    def native(self, folder: str) -> int:
        """Hold the files open by which a program like this one shows its session; return its record."""
        for name in ("thread-writer-locks", "sessions/today"):
            os.makedirs(f"{folder}/{name}", exist_ok=True)  # noqa: PTH103  a bare interpreter starts sooner
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        os.open(f"{folder}/thread-writer-locks/{NATIVE_ID}.lock", flags, 0o600)
        return os.open(f"{folder}/sessions/today/rollout-now-{NATIVE_ID}.jsonl", flags, 0o600)

    def take_queued(self) -> None:
        """Take what its own queue has for it, late if so told."""
        path = f"{self.told['native']}/queue"
        if self.scene.state != "idle" or not os.path.exists(path):  # noqa: PTH110  as above
            return
        self.queue_seen = self.queue_seen or time.monotonic()
        if time.monotonic() - self.queue_seen < self.told.get("late_s", 0.0):
            return
        with open(path, encoding="utf-8") as file:  # noqa: PTH123  as above
            lines = file.read().splitlines()
        os.unlink(path)  # noqa: PTH108  as above
        for line in lines:
            self.submit(line)

    def submit(self, text: str) -> None:
        """Take a prompt: into the truth, and into its own record."""
        self.log("shell" if self.told.get("as_shell") else "prompt", text=text)
        if self.record is not None:
            payload = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
            line = {"timestamp": "now", "type": "response_item", "payload": payload}
            os.write(self.record, json.dumps(line, separators=(",", ":")).encode() + b"\n")
        self.scene.history = [*self.scene.history, text.split("\n", maxsplit=1)[0]][-3:]
        self.scene.state, self.turn_ends = "busy", time.monotonic() + self.told.get("turn_s", 0.3)
        self.draw_at = time.monotonic()

    def run(self) -> None:
        """Draw, take keys, go on, until told to end."""
        old = termios.tcgetattr(0)
        tty.setraw(0, termios.TCSANOW)
        if self.told.get("canonical") or self.scene.state == "secret":
            termios.tcsetattr(0, termios.TCSANOW, old)
        if self.scene.state == "secret":
            old[3] &= ~termios.ECHO
            termios.tcsetattr(0, termios.TCSANOW, old)
        if self.told.get("bracketed", True):
            os.write(1, b"\x1b[?2004h")
        signal.signal(signal.SIGWINCH, lambda *_: None)
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write)
        self.draw()
        self.log("ready", pid=os.getpid())
        while time.monotonic() - self.began < GONE_BY_S:
            ready, _, _ = select.select([0, wake_read], [], [], self.wait_s())
            if wake_read in ready:
                os.read(wake_read, 4096)
                self.draw_at = time.monotonic()
            if 0 in ready and not self.take():
                break
            self.go_on()

    def wait_s(self) -> float:
        """How long nothing has to be done."""
        now = time.monotonic()
        waits = [10.0]
        if self.draw_at is not None:
            waits.append(max(0.0, self.draw_at - now))
        if self.turn_ends is not None:
            waits.append(max(0.0, self.turn_ends - now))
        if self.moves() or self.record is not None:
            waits.append(TICK_S)
        return min(waits)

    def moves(self) -> bool:
        """Whether something on the screen moves by itself."""
        return bool(self.told.get("spinner") or self.told.get("flash")) or self.scene.state == "busy"

    def go_on(self) -> None:
        """What time brings: the end of a turn, a frame."""
        now = time.monotonic()
        if self.record is not None:
            self.take_queued()
        if self.turn_ends is not None and now >= self.turn_ends:
            self.turn_ends, self.scene.state = None, "idle"
            self.draw_at = now
        if self.told.get("flash") and self.turn_ends is None:
            self.scene.state = "busy" if (now - self.began) % sum(FLASH_S) < FLASH_S[0] else "idle"
        if self.moves() and self.draw_at is None:
            self.scene.tick += 1
            self.draw_at = now
        if self.draw_at is not None and now >= self.draw_at:
            self.draw()

    def draw(self) -> None:
        """Show all anew, in one frame."""
        self.draw_at = None
        rows, cols, _, _ = struct.unpack("HHHH", fcntl.ioctl(1, termios.TIOCGWINSZ, b"\0" * 8))
        shown = draw(self.told.get("look", "line"), self.scene, cols or 80, rows or 24)
        with contextlib.suppress(OSError):
            os.write(1, b"\x1b[?2026h" + shown.encode() + b"\x1b[?2026l")

    def take(self) -> bool:
        """Take keys; False when there will be no more."""
        try:
            data = os.read(0, 65536)
        except OSError:
            return False
        if not data:
            return False
        self.log("bytes", hex=data.hex())
        before = (self.scene.draft, self.scene.state)
        for piece in PASTE.split(data.decode(errors="replace")):
            if piece in {START, END}:
                self.pasting = piece == START
                if piece == END:
                    self.pasted()
            elif self.pasting:
                self.edit(piece)
            else:
                for key in KEYS.findall(piece):
                    self.key(key)
        if (self.scene.draft, self.scene.state) != before:
            delay_s = self.told.get("render_s", 0.0)
            self.draw_at = None if delay_s is None else time.monotonic() + delay_s
        return True

    def edit(self, text: str) -> None:
        """Put text into the box; dialogs and pagers have none."""
        if self.scene.state == "idle":
            self.scene.draft += text

    def pasted(self) -> None:
        """A paste has ended: what some programs do then."""
        self.pasted_at = time.monotonic()
        if self.scene.state != "idle":
            return
        self.scene.draft += self.told.get("draft_at_paste", "")
        if self.told.get("dialog_at_paste"):
            self.scene.state = "dialog"
        if self.told.get("exit_at") == "paste":
            self.leave()

    def key(self, key: str) -> None:
        """Take one key."""
        if self.scene.state == "pager":
            self.log("pager", key=key)
        elif self.scene.state in ASKING:
            if key in "\r\nyY1":
                self.log(self.scene.state, answer=key)
        elif key in "\r\n":
            self.enter()
        elif key in "\x7f\x08":
            self.scene.draft = self.scene.draft[:-1]
        elif key in "\x15\x03":
            self.scene.draft = ""
        elif key == "\x1b":
            self.log("escape")
        elif key.isprintable():
            self.scene.draft += key
            if not self.told.get("bracketed", True):
                self.pasted_at = time.monotonic()

    def enter(self) -> None:
        """Enter in the box: submit, unless it is swallowed or taken for part of a paste."""
        now = time.monotonic()
        if (now - self.pasted_at) * 1000 < self.told.get("burst_ms", 0):
            self.pasted_at = now
            self.scene.draft += "\n"
            return
        if self.swallow > 0:
            self.swallow -= 1
            return
        text, self.scene.draft, self.scene.ghost = self.scene.draft, "", ""
        if not text.strip():
            return
        self.submit(text.strip())
        if self.told.get("exit_at") == "enter":
            self.leave()

    def leave(self) -> None:
        """End at once."""
        self.log("left")
        os._exit(0)


def lines(told: dict[str, Any]) -> None:
    """A line program without an editor of its own: the kernel gathers the line."""
    truth = os.open(told["truth"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def log(event: str, **facts: object) -> None:
        os.write(truth, json.dumps({"event": event, **facts}).encode() + b"\n")

    os.write(1, told.get("prompt", "> ").encode())
    log("ready", pid=os.getpid())
    while data := os.read(0, 65536):
        log("bytes", hex=data.replace(b"\n", b"\r").hex())
        if data.strip():
            log("prompt", text=data.decode(errors="replace").strip())
        os.write(1, b"got it\n" + told.get("prompt", "> ").encode())


def main() -> None:
    """Be the program that the last argument describes."""
    told = json.loads(sys.argv[-1])
    if told.get("canonical"):
        lines(told)
    else:
        Tui(told).run()
