"""A scripted agent that plays one part: the first argument. What follows is the part's own.

It runs in a bare interpreter. Everything it starts carries its first argument after the part, so that it can be
found whatever became of its environment.
"""

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

FOREVER_S = 600


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def environment() -> dict[str, str]:
    """What this was started with: the interpreter adds a locale of its own."""
    pairs = Path("/proc/self/environ").read_text(encoding="utf-8").split("\0")
    return dict(pair.split("=", 1) for pair in pairs if pair)


def wait() -> None:
    while True:
        time.sleep(FOREVER_S)


def reads(*rest: str) -> None:
    """Read everything, then say what it was and where this is."""
    say(json.dumps({"type": "thread.started", "thread_id": rest[0]}))
    prompt = sys.stdin.buffer.read()
    say(
        json.dumps(
            {
                "prompt": hashlib.sha256(prompt).hexdigest(),
                "argv": sys.argv,
                "environment": environment(),
                "cwd": str(Path.cwd()),
                "leader": os.getsid(0) == os.getpid() == os.getpgid(0),
                "open": sorted(int(path.name) for path in Path("/proc/self/fd").iterdir()),
            }
        )
    )


def says(*lines: str) -> None:
    for line in lines:
        say(line)


def says_and_waits(*lines: str) -> None:
    says(*lines)
    wait()


def quits(*rest: str) -> None:
    os._exit(int(rest[1]))


def closes(*_: str) -> None:
    os.close(1)
    os.close(2)
    wait()


def floods(*rest: str) -> None:
    for _ in range(int(rest[1])):
        os.write(1, b"x" * 1023 + b"\n")


def long_line(*rest: str) -> None:
    for _ in range(10):
        os.write(1, b"x" * 1024 * 1024)
    os.write(1, b"\n")
    say(json.dumps({"thread_id": rest[0]}))


def ignores(*_: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say("here")
    wait()


def polite(*_: str) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    say("here")
    wait()


def stops(*_: str) -> None:
    say("here")
    os.kill(os.getpid(), signal.SIGSTOP)


def kills_itself(*_: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def daemon(tag: str, *, bare: bool) -> None:
    """Twice forked, a session of its own, stdout still open; `bare`: nothing of its environment is left."""
    if os.fork():
        os.wait()
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    argv = [sys.executable, "-I", "-S", __file__, "waits", tag]
    os.execve(argv[0], argv, {} if bare else environment())  # noqa: S606 - a program of our own


def waits(*_: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    wait()


def leaves_a_daemon(*rest: str) -> None:
    daemon(rest[0], bare=True)
    say("gone")


def escapes(*rest: str) -> None:
    daemon(rest[0], bare=True)
    daemon(rest[0], bare=False)
    say("here")
    wait()


def grows(*rest: str) -> None:
    """A tree of some depth, in several sessions, that does not listen to TERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for depth in range(3):
        if os.fork() == 0 and depth % 2:
            os.setsid()
    say(f"here {rest[0]}")
    wait()


def chains(*rest: str) -> None:
    """Always another process: each starts the next one and ends, here in a session of its own, there not."""
    if os.fork() == 0:
        say("here")
        while True:
            if os.fork():
                os._exit(0)
            if rest[1] == "apart":
                os.setsid()
    wait()


def buries_nobody(*_: str) -> None:
    """Orphans that end at once: whoever adopts them has to bury them."""
    for _number in range(20):
        if os.fork() == 0:
            if os.fork():
                os._exit(0)
            os._exit(0)
    say("here")
    wait()


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
