"""The whole stack in the foreground: `run_stack` prepares, starts, watches and, told to, stops it.

INT, TERM and HUP stop it in order; a second one kills what is still there. What it prints is for people; what
others need is in stack.json, which is there as long as the stack is ready.
"""

import asyncio
import contextlib
import json
import os
import pwd
import resource
import secrets
import shlex
import shutil
import signal
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bridge.config import METRICS_DIR, Settings, child_environment, default_data_dir, inherited_environment
from bridge.core.errors import InvalidArgument, Unavailable
from bridge.stack import flower
from bridge.stack.embedded import Server, prepare, private_dir, server_environment
from bridge.stack.flower import FlowerDoor
from bridge.stack.keys import (
    HOST,
    OPERATOR,
    KeyUnusable,
    ensure_keys,
    load_signing_key,
    stack_token,
    stamp_of,
)
from bridge.stack.leftovers import end_leftovers
from bridge.stack.log import Lines
from bridge.stack.ports import require_free_port
from bridge.stack.probes import HTTP_OK, http_json
from bridge.stack.process import STACK_MARK, Identity, nobody
from bridge.stack.record import StackLock, write_private
from bridge.stack.services import LOCAL, Service, host_token_file, probe_host, stack_services, web_url
from bridge.stack.supervision import Supervision

READY_TIMEOUT_S = 120.0
READY_POLL_S = 0.1
STILL_WAITING_S = 5.0
TOKEN_RENEWAL_S = 1800.0
KEY_LOOK_S = 1.0
OPEN_FILES = 65536
CALLERS = ("BRIDGE_URL", "BRIDGE_TOKEN", "BRIDGE_TOKEN_FILE")
"""What a person's shell says to the CLI, and is no service's business."""


class ServicesOf(Protocol):
    """What gives the services of a stack: `stack_services`."""

    def __call__(
        self, settings: Settings, servers: Mapping[str, Server], flower: FlowerDoor
    ) -> list[Service]:
        """All services, in the order of their start."""
        ...


class NotReady(Unavailable):
    """The stack did not become ready."""


class Stack:
    """One run of the stack. Making it prepares all that must be right before the first process starts."""

    def __init__(
        self, settings: Settings, lines: Lines, hurry: asyncio.Event, services_of: ServicesOf
    ) -> None:
        self.settings = settings
        self.lines = lines
        self.began = time.monotonic()
        self.ready = False
        self.waiting_for = ""
        self.key: Ed25519PrivateKey = ensure_keys(settings)
        self.key_stamp = stamp_of(settings.signing_key_file)
        self.mark = secrets.token_hex(8)
        self.token = ""
        self.renewed_at = 0.0
        self.renew_tokens()
        require_free_port(settings.bind, settings.port)
        self.flower = FlowerDoor()
        services = services_of(settings, self._servers(), self.flower)
        self.supervision = Supervision(
            services,
            environment=self._environment(),
            cwd=settings.run_dir,
            tell=lines.tell,
            changed=self.write_record,
            hurry=hurry,
        )
        self.say(f"starting {', '.join(service.name for service in services)}")

    def say(self, text: str) -> None:
        """One line of the manager's own."""
        self.lines.tell("stack", text)

    def _servers(self) -> dict[str, Server]:
        given = {"postgres": self.settings.database_url, "broker": self.settings.broker_url}
        servers = {}
        for name, url in given.items():
            if url is not None:
                self.say(
                    f"{name}: the one that {'DATABASE_URL' if name == 'postgres' else 'BROKER_URL'} names"
                )
                continue
            if not (self.settings.data_dir / name).exists():
                self.say(f"{name}: first start, making its data in {self.settings.data_dir / name}")
            servers[name] = prepare(name, self.settings)
        refuse_shared_user(self.settings.agents_as, servers)
        return servers

    def _environment(self) -> Mapping[str, str]:
        inherited = inherited_environment()
        if (
            self.settings.database_url is None
        ):  # with a server of one's own, PGPASSWORD and the like are meant
            inherited = server_environment(inherited)
        figures = self.settings.data_dir / "metrics"  # one scrape of the web shows every process's
        shutil.rmtree(figures, ignore_errors=True)
        (figures / "flower").mkdir(mode=0o700, parents=True)
        for name in CALLERS:
            inherited.pop(name, None)
        marks = {STACK_MARK: str(self.settings.data_dir), "PYTHONUNBUFFERED": "1", METRICS_DIR: str(figures)}
        service = self.settings.model_copy(update={"url": None, "token_file": None})
        return inherited | child_environment(service) | marks

    def _is_time_for_tokens(self) -> bool:
        """Whether they are half their life old, or the key that signed them is another one by now."""
        stamp = stamp_of(self.settings.signing_key_file)
        if stamp not in (self.key_stamp, None):
            self.key_stamp = stamp
            try:
                self.key = load_signing_key(self.settings.signing_key_file)
            except (KeyUnusable, OSError) as error:
                self.say(f"the signing key stays the one it was: {error}")
                return False
            return True
        return time.monotonic() - self.renewed_at >= TOKEN_RENEWAL_S

    def renew_tokens(self) -> None:
        """New tokens for the operator, whose is in stack.json, and for this stack's host, whose is in a file."""
        self.renewed_at = time.monotonic()
        self.token = self._new_token(OPERATOR, OPERATOR)
        write_private(host_token_file(self.settings), self._new_token(f"{HOST}:{LOCAL}", HOST) + "\n")

    def _new_token(self, agent_id: str, role: str) -> str:
        now = int(time.time())  # noqa: TID251 - a token's iat is wall time, and the manager has no database
        session_id = f"{role}-{self.mark}"
        return stack_token(self.key, self.settings, agent_id, role, now=now, session_id=session_id)

    def write_record(self) -> None:
        """Write stack.json, once the stack is ready."""
        if not self.ready:
            return
        record = {
            "pid": os.getpid(),
            "url": web_url(self.settings),
            "flower_url": self.flower.url,
            "flower_user": flower.USER,
            "flower_password": self.flower.password,
            "database_url": self.settings.database_url_in_force,
            "broker_url": self.settings.broker_url_in_force,
            "operator_token": self.token,
            "agents_dir": str(self.settings.agents_dir),
            "processes": self.supervision.pids(),
        }
        write_private(self.settings.stack_file, json.dumps(record, indent=1) + "\n")

    async def run(self, stop: asyncio.Event, report: Callable[[dict[str, object]], None]) -> None:
        """Start all, say when it is ready, and keep it so until `stop`; then leave nothing running."""
        self.supervision.start()
        try:
            await either(self._until_ready(), stop.wait())
            if not stop.is_set():
                self.ready = True
                self.write_record()
                report(
                    {
                        "ready": True,
                        "url": web_url(self.settings),
                        "stack_file": str(self.settings.stack_file),
                    }
                )
                self.lines.write(self._welcome())
            while not await happens(stop, KEY_LOOK_S):
                if self._is_time_for_tokens():
                    self.renew_tokens()
                    self.write_record()
        finally:
            self.ready = False
            self.settings.stack_file.unlink(missing_ok=True)
            self.say("stopping")
            await self.supervision.stop()
            self.say("stopped; nothing is left running")

    async def _until_ready(self) -> None:
        """Return when all services are ready and /ready says that a canary row was claimed."""
        waiting = asyncio.create_task(self._complain())
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                await self.supervision.until_ready()
                while (answer := await self._not_ready()) is not None:
                    self.waiting_for = answer
                    await asyncio.sleep(READY_POLL_S)
        except TimeoutError as error:
            msg = f"not ready after {READY_TIMEOUT_S:.0f} s; still waiting for {self._missing()}"
            raise NotReady(msg) from error
        finally:
            waiting.cancel()

    async def _not_ready(self) -> str | None:
        """Why the web does not call itself ready; None when it does."""
        host = probe_host(self.settings.bind)
        status, said = await asyncio.to_thread(http_json, host, self.settings.port, "/ready")
        if status == HTTP_OK and said.get("canary") == "ok":
            return None
        return f"/ready (status {status}, canary {said.get('canary')!r})"

    async def _complain(self) -> None:
        """Tell every few seconds what the start waits for."""
        while True:
            await asyncio.sleep(STILL_WAITING_S)
            self.say(f"still waiting for {self._missing()}")

    def _missing(self) -> str:
        return ", ".join(self.supervision.waiting_for()) or self.waiting_for

    def _welcome(self) -> str:
        url, data = web_url(self.settings), self.settings.data_dir
        default = data == default_data_dir()
        option = "" if default else f" --data {shlex.quote(str(data))}"
        user = self.settings.agents_as
        agents = f"\n    agents   run as {user}, and reach {self.settings.agents_dir} alone" if user else ""
        return f"""
  Wakebridge is ready ({time.monotonic() - self.began:.1f} s)
    web      {url}    (the calls: {url}/docs)
    flower   {self.flower.url}    user {flower.USER}, password in stack.json
    stack    {self.settings.stack_file}{agents}

  Try, in another terminal:
{self._to_try(option)}
  Ctrl-C stops everything.

"""

    def _to_try(self, option: str) -> str:
        """The first two commands; with another user for agents, the second is that user's."""
        user, issue = self.settings.agents_as, f"    bridge token issue --agent reviewer{option}"
        if user is None:
            return f"{issue}\n    bridge run --agent reviewer{option} -- bash"
        keep = f"{issue} | sudo -Hu {user} sh -c 'umask 077; cat > ~/reviewer.token'"
        where = f"BRIDGE_URL={web_url(self.settings)} BRIDGE_AGENTS_DIR={self.settings.agents_dir}"
        run = "bridge run --agent reviewer --token-file ~/reviewer.token -- bash"
        return f"{keep}\n    and as {user}:  {where} {run}"


def refuse_shared_user(agents_as: str | None, servers: Mapping[str, Server]) -> None:
    """Where Postgres has to be `nobody`, agents must not be: they could end it. Raises InvalidArgument."""
    postgres = servers.get("postgres")
    if agents_as is None or postgres is None or postgres.identity is not Identity.NOBODY:
        return
    if pwd.getpwnam(agents_as).pw_uid == nobody()[0]:
        raise InvalidArgument(
            f"Postgres runs as {agents_as} here: let agents run as another user", path="agents_as"
        )


def _silent(_report: dict[str, object]) -> None:
    """Report to nobody."""


async def run_stack(
    settings: Settings,
    lines: Lines,
    report: Callable[[dict[str, object]], None] = _silent,
    services_of: ServicesOf = stack_services,
) -> None:
    """Run the stack until it is told to stop. Fails without leaving a process when it cannot be started.

    `report` gets one object when the stack is ready; `services_of` gives what the stack consists of.
    """
    stop, hurry = asyncio.Event(), asyncio.Event()
    _stop_on_signals(stop, hurry)
    if settings.policy_file is not None and not settings.policy_file.is_file():
        raise InvalidArgument(f"there is no policy file {settings.policy_file}", path="policy")
    private_dir(settings.data_dir)
    private_dir(settings.run_dir)
    lock = StackLock(settings.data_dir)
    lock.take(web_url(settings))
    try:
        settings.stack_file.unlink(missing_ok=True)  # an earlier manager may have been killed
        if killed := end_leftovers(settings.data_dir):
            lines.tell("stack", f"ended {killed} processes that an earlier stack left behind")
        _raise_open_files()
        stack = Stack(settings, lines, hurry, services_of)
        await asyncio.sleep(0)  # a signal that came meanwhile is heard here
        if not stop.is_set():
            await stack.run(stop, report)
    finally:
        host_token_file(settings).unlink(missing_ok=True)
        for folder in (settings.run_dir, settings.agents_dir):
            with contextlib.suppress(OSError):  # somebody else's files are in it
                folder.rmdir()
        lock.release()


def _stop_on_signals(stop: asyncio.Event, hurry: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def told() -> None:
        (hurry if stop.is_set() else stop).set()

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Under nohup a hang-up is ignored on purpose. INT is heard even so: scripts ignore it for `up &`.
        if signum != signal.SIGHUP or signal.getsignal(signum) is not signal.SIG_IGN:
            loop.add_signal_handler(signum, told)


def _raise_open_files() -> None:
    """Every waiting agent is an open connection: allow as many as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def either(one: Coroutine[object, object, object], other: Coroutine[object, object, object]) -> None:
    """Return, or fail, with the one that is done first; the other is cancelled."""
    tasks = [asyncio.create_task(one), asyncio.create_task(other)]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    for task in done:
        task.result()


async def happens(event: asyncio.Event, within_s: float) -> bool:
    """Whether the event happens within so many seconds."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), within_s)
    return event.is_set()
