"""An agent that pries: it tries what its first argument lists, and says what became of each.

It runs in any bare interpreter that everybody may run. What it tries is JSON, `[["read", PATH], ["stop", PID], ...]`;
its parent's pid stands for "shim". The second argument is its part: `says` writes what it found, `answers` posts it to
every thread that it has to read, `stays` ends only when it is killed, and leaves two daemons, one bare of its
environment. The third one is its tag.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import socket
import sys
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

FOREVER_S = 600
PR_GET_PDEATHSIG = 2
NAMES = ("HOME", "USER", "LOGNAME", "SHELL", "PATH", "XDG_CONFIG_HOME", "SSH_AUTH_SOCK", "DATABASE_URL")


def connect(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(path)


def write(path: str) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_APPEND))


def become(uid: str) -> None:
    os.setresuid(int(uid), int(uid), int(uid))


VERBS: dict[str, Any] = {
    "read": lambda path: Path(path).read_bytes(),
    "list": os.listdir,
    "enter": os.chdir,
    "connect": connect,
    "write": write,
    "make": os.mkdir,
    "replace": lambda path: Path(path).rename(path + ".old"),
    "remove": os.unlink,
    "stop": lambda pid: os.kill(int(pid), signal.SIGSTOP),
    "environ": lambda pid: Path(f"/proc/{pid}/environ").read_bytes(),
    "become": become,
}


def attempt(verb: str, what: str) -> str:
    """Try it: "ok", or the name of what stood in the way."""
    try:
        VERBS[verb](str(os.getppid()) if what == "shim" else what)
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "ok"


def death_signal() -> int:
    found = ctypes.c_int()
    ctypes.CDLL(None).prctl(PR_GET_PDEATHSIG, ctypes.byref(found), 0, 0, 0)
    return found.value


def told(attempts: list[list[str]]) -> dict[str, Any]:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    sets = [int(status[name], 16) for name in ("CapEff", "CapPrm", "CapAmb")]
    return {
        "uid": os.getresuid(),
        "gid": os.getresgid(),
        "groups": os.getgroups(),
        "capabilities": sum(sets),
        "no_new_privs": status["NoNewPrivs"].strip(),
        "dies_with_its_parent_by": death_signal(),
        "environment": {name: os.environ[name] for name in NAMES if name in os.environ},  # noqa: TID251  its own
        "cwd": str(Path.cwd()),
        "prompt": sys.stdin.read(),
        "tried": [[verb, what, attempt(verb, what)] for verb, what in attempts],
    }


def call(method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """One call of the bridge, with the token that is in the file now."""
    environment = os.environ  # noqa: TID251  its own
    address = urlsplit(environment["BRIDGE_URL"])
    line = HTTPConnection(address.hostname or "", address.port, timeout=30)
    token = Path(environment["BRIDGE_TOKEN_FILE"]).read_text().strip()
    headers = {"Authorization": "Bearer " + token, "Content-Type": "application/json"}
    line.request(method, path, None if body is None else json.dumps(body), headers)
    answered = line.getresponse()
    said: dict[str, Any] = json.loads(answered.read())
    line.close()
    assert answered.status < 400, said
    return said


def answer(found: dict[str, Any]) -> None:
    for item in call("GET", "/v1/inbox")["items"]:
        thread = "/v1/threads/" + item["thread_id"]
        message = call("GET", f"{thread}/messages?since_seq={item['last_read_seq']}")["items"][-1]
        body = json.dumps({**found, "asked": message["body"]})
        reply = {"schema_version": 1, "kind": "chat", "body": body, "in_reply_to": message["message_id"]}
        call("POST", f"{thread}/messages", {**reply, "to": [message["sender_agent_id"]]})


def stay(tag: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for environment in ({}, dict(os.environ)):  # noqa: TID251  its own
        if os.fork() == 0:
            os.setsid()
            if os.fork():
                os._exit(0)
            argv = [sys.executable, "-I", "-S", __file__, "[]", "waits", tag]
            os.execve(argv[0], argv, environment)  # noqa: S606  a program of our own
    print("here", flush=True)
    time.sleep(FOREVER_S)


def main() -> None:
    attempts, part, tag = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]
    if part == "waits":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(FOREVER_S)
    if part == "stays":
        stay(tag)
    found = told(attempts)
    with Path("/dev/stderr").open("w") as shown:  # anew, as a shell does
        print("pried", file=shown)
    print(json.dumps(found), flush=True)
    if part == "answers":
        answer(found)


if __name__ == "__main__":
    main()
