"""Secrets: a running stack, used as it is meant to be; no token, key or password is anywhere but where it belongs.

And its doors: nothing of it listens to other machines unless it was told to.
"""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine, text

from bridge.stack.leftovers import stack_processes
from tests.stack.running import Running, clean_environment, until
from tests.support.receiver import Receiver, receiving, webhook_preset

RECORDER = Path(__file__).with_name("programs") / "recorder.py"
TOKEN = re.compile(r"eyJ[\w-]{10,}\.eyJ[\w-]{10,}")
"""What any signed token looks like."""


@dataclass
class Used:
    """A stack, its agents, and every argv of this machine since it started."""

    running: Running
    receiver: Receiver
    folder: Path
    argvs: set[str] = field(default_factory=set)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def data(self) -> Path:
        """Its data."""
        return self.running.data_dir

    def record(self) -> dict[str, Any]:
        """What stack.json says."""
        found: dict[str, Any] = json.loads((self.data / "stack.json").read_text())
        return found

    def call(self, method: str, path: str, token: str, body: object = None) -> httpx.Response:
        """A call with this token."""
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.request(method, self.record()["url"] + path, json=body, headers=headers, timeout=20)

    def good(self, method: str, path: str, token: str, body: object = None) -> dict[str, Any]:
        """One that is let in."""
        answer = self.call(method, path, token, body)
        assert answer.is_success, (path, answer.text)
        found: dict[str, Any] = answer.json()
        return found

    def watch(self) -> None:
        """Look at every process's argv, over and over: those of short lives too."""
        while not self.over.wait(0.05):
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.argvs.add(file.read_bytes().decode("utf-8", "replace"))
                except OSError:
                    continue

    def secrets(self) -> dict[str, str]:
        """What must not be found, by its name; tokens are found by their form."""
        keys, record = self.data / "keys", self.record()
        return {
            "the signing key": (keys / "signing.pem").read_text().splitlines()[1],
            "the scrape token": (keys / "metrics.token").read_text().strip(),
            "the webhook's secret": (self.data / "presets" / "service.secret").read_text().strip(),
            "flower's password": record["flower_password"],
        }

    def check(self, where: str, said: str) -> None:
        """None of it is there."""
        assert TOKEN.search(said) is None, f"a token in {where}"
        for name, secret in self.secrets().items():
            assert secret not in said, f"{name} in {where}"


@pytest.fixture(scope="module", name="used")
def _used() -> Iterator[Used]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wbs", dir="/tmp")))
        receiver = stack.enter_context(receiving())
        data = folder / "bridge"
        presets = data / "presets"
        presets.mkdir(parents=True)
        argv = json.dumps(["{python}", str(RECORDER), "run", str(folder / "notes"), "--as={native_id}"])
        (presets / "started.toml").write_text(
            f'name = "started"\n[command]\nresume = {argv}\nspawn = {argv}\ncwd = "{folder}"\n'
        )
        webhook_preset(presets, receiver.url, name="service")
        command = [sys.executable, "-m", "bridge.cli.app", "up", "--data", str(data), "--port", "0"]
        running = Running(data, argv=command)
        stack.callback(running.clean)
        used = Used(running, receiver, folder)
        watcher = threading.Thread(target=used.watch, daemon=True)
        watcher.start()
        stack.callback(watcher.join, 10)
        stack.callback(used.over.set)
        running.record()
        use(used)
        yield used


def is_refused(used: Used, token: str) -> bool:
    return used.call("GET", "/v1/inbox", token).status_code == httpx.codes.UNAUTHORIZED


def use(used: Used) -> None:
    """Let agents in, have them woken by a run and by a webhook; then be refused in every way."""
    operator = used.record()["operator_token"]
    tokens: dict[str, str] = {}
    for name in ("alice", "started", "service"):
        tokens[name] = used.good("POST", "/v1/tokens", operator, {"agent_id": name})["token"]
    for name in ("started", "service"):
        used.good("PUT", f"/v1/agents/{name}", operator, {"preset": name, "host": "local"})
    body = {"title": "t", "participants": [{"agent_id": name} for name in tokens]}
    path = f"/v1/threads/{used.good('POST', '/v1/threads', operator, body)['thread_id']}/messages"
    used.good("POST", path, tokens["alice"], {"body": "hello"})
    until(lambda: used.receiver.got, "a webhook")
    until(lambda: used.good("GET", "/v1/runs?state=ended", operator)["items"], "a run that read and ended")
    fresh = used.good("POST", "/v1/tokens/refresh", tokens["alice"], {})
    used.good("POST", "/v1/tokens/revocations", operator, {"jti": fresh["jti"], "reason": "lost"})
    for token in (fresh["token"], tokens["alice"][:-4] + "AAAA", "x" + tokens["alice"]):
        # A revocation is in force in the other web process within half a second.
        until(partial(is_refused, used, token), "the refusal")
    assert (
        used.call("POST", "/v1/threads", tokens["alice"], {"title": "x"}).status_code == httpx.codes.FORBIDDEN
    )
    url = f"{used.record()['url']}/v1/inbox?access_token={tokens['alice']}"
    assert httpx.get(url).status_code == httpx.codes.UNAUTHORIZED
    assert "token" not in used.call("GET", "/v1/agents", operator).text


def test_no_secret_is_in_any_log(used: Used) -> None:
    assert "policy.denied" in used.running.said
    assert "token.refused" in used.running.said
    used.check("the log", used.running.said)


def test_no_secret_is_in_any_argv_ever(used: Used) -> None:
    assert any("gunicorn" in argv for argv in used.argvs)
    assert any(str(RECORDER) in argv for argv in used.argvs)
    used.check("an argv", "\n".join(used.argvs))


def test_no_secret_is_in_any_row_of_the_database(used: Used) -> None:
    engine = create_engine(used.record()["database_url"])
    with engine.connect() as connection:
        tables = connection.execute(
            text("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
        ).scalars()
        rows = {
            table: connection.execute(text(f"SELECT CAST(t AS text) FROM {table} t")).scalars().all()  # noqa: S608
            for table in tables
        }
    engine.dispose()
    assert rows["audit_events"]
    assert rows["runs"]
    for table, found in rows.items():
        used.check(table, "\n".join(found))


def test_no_secret_is_in_celerys_events_as_flower_shows_them(used: Used) -> None:
    record = used.record()
    login = (record["flower_user"], record["flower_password"])
    assert httpx.get(f"{record['flower_url']}/tasks").status_code == httpx.codes.UNAUTHORIZED
    tasks = f"{record['flower_url']}/api/tasks?limit=1000"
    until(lambda: '"uuid"' in httpx.get(tasks, auth=login).text, "a task in Flower")
    for path in ("/api/tasks?limit=1000", "/api/workers", "/tasks", "/workers", "/broker"):
        answer = httpx.get(f"{record['flower_url']}{path}", auth=login, timeout=20, follow_redirects=True)
        assert answer.is_success, path
        used.check(f"flower's {path}", answer.text)


def test_no_secret_is_in_a_page_or_a_figure(used: Used) -> None:
    scrape = used.secrets()["the scrape token"]
    for path in ("/docs", "/openapi.json", "/health", "/ready", "/metrics"):
        answer = used.call("GET", path, scrape)
        assert answer.is_success, path
        used.check(path, answer.text)


def test_the_files_that_hold_a_secret_are_their_owners_alone(used: Used) -> None:
    holders = []
    for file in used.data.rglob("*"):
        if file.is_file() and "postgres" not in file.parts:
            said = file.read_bytes().decode("utf-8", "replace")
            if TOKEN.search(said) or any(secret in said for secret in used.secrets().values()):
                holders.append(file)
                assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    names = {file.name for file in holders}
    assert names >= {"stack.json", "signing.pem", "metrics.token", "service.secret"}


def test_the_stack_listens_to_this_machine_alone(used: Used) -> None:
    ours = {inode for pid in stack_processes(used.data) for inode in sockets_of(pid)}
    listening = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    ]
    addresses = {fields[1].split(":")[0] for fields in listening if fields[3] == "0A" and fields[9] in ours}
    assert addresses == {"0100007F"}


def sockets_of(pid: int) -> Iterator[str]:
    """The inodes of a process's sockets."""
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except OSError:
            continue
        if target.startswith("socket:["):
            yield target[len("socket:[") : -1]


def test_a_key_that_leaked_is_changed_while_the_stack_runs(used: Used) -> None:
    old = used.record()["operator_token"]
    said = subprocess.run(
        [
            sys.executable,
            "-m",
            "bridge.cli.app",
            "token",
            "rotate-key",
            "--drop-old",
            "--data",
            str(used.data),
        ],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    used.check("what it prints", said.stdout + said.stderr)
    until(lambda: used.record()["operator_token"] != old, "another operator's token")
    used.good("GET", "/v1/agents", used.record()["operator_token"])
    until(
        lambda: used.call("GET", "/v1/agents", old).status_code == httpx.codes.UNAUTHORIZED,
        "the old one's end",
    )
