"""What the stack consists of, as data.

Every command is the same that compose.yaml runs; only addresses and paths of this machine are added here.
`needs` and `after` order the first start: a process that dies later comes back whatever else is down.
"""

import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bridge.config import METRICS_DIR, Settings
from bridge.stack.embedded import Server, postgres_arguments, valkey_arguments
from bridge.stack.flower import FlowerDoor
from bridge.stack.ports import http_url
from bridge.stack.probes import HTTP_OK, http_json, postgres_answers, unix_listens, valkey_answers
from bridge.stack.process import Identity

GRACE_S = 10.0
SERVERS = ("postgres", "broker")

LOCAL = "local"
"""The host that every stack has."""

_CELERY = ("python", "-m", "celery", "-A", "tasks.celery")
_QUIET = ("-E", "--without-gossip", "--without-mingle")
_BEAT = (*_CELERY, "beat", "-S", "tasks.keeper:KeeperScheduler")


def host_command(name: str) -> tuple[str, ...]:
    """The worker of a host: the same on every machine."""
    named = ("-n", f"host-{name}@%h", "-Q", f"host.{name}")
    return (*_CELERY, "worker", *named, "-P", "threads", "-c", "16", *_QUIET)


COMMANDS: Mapping[str, tuple[str, ...]] = {
    "postgres": ("postgres", *postgres_arguments()),
    "broker": ("valkey-server", *valkey_arguments()),
    "migrate": ("python", "-m", "bridge.cli.app", "db", "upgrade"),
    "web": ("python", "-m", "gunicorn", "-c", "python:web.gunicorn_conf", "web.wsgi:app"),
    "worker": (
        *(*_CELERY, "worker", "-n", "worker@%h", "-Q", "timers,supervisor,notify,reports"),
        *("-P", "threads", "-c", "8", *_QUIET),
    ),
    "host-local": host_command(LOCAL),
    "beat-0": _BEAT,
    "beat-1": _BEAT,
    "flower": (*_CELERY, "flower", "--read_only"),
}


@dataclass(frozen=True)
class Service:
    """One process to keep running; with `once`, one to run to its end before those that come after it."""

    name: str
    argv: Callable[[], tuple[str, ...]]  # asked for at each start
    needs: tuple[str, ...] = ()  # ready before it starts the first time, stopped after it
    after: tuple[str, ...] = ()  # only ready before it starts the first time
    ready: Callable[[], bool] | None = None  # None: ready as soon as it runs
    awaited: bool = True  # the stack is not ready before it is
    once: bool = False
    stop_signal: signal.Signals = signal.SIGTERM
    grace_s: float = GRACE_S
    death_signal: signal.Signals = signal.SIGKILL  # what it gets when the manager dies
    identity: Identity = Identity.SAME
    environment: Mapping[str, str] = field(default_factory=dict)


def service_commands() -> dict[str, list[str]]:
    """Each service's command without the paths, addresses and ports of one machine."""
    return {name: list(argv) for name, argv in COMMANDS.items()}


def stack_services(settings: Settings, servers: Mapping[str, Server], flower: FlowerDoor) -> list[Service]:
    """All services of a stack on this machine, in the order of their start; `servers` are the embedded ones."""
    host = probe_host(settings.bind)

    def web_answers() -> bool:
        return http_json(host, settings.port, "/health")[0] == HTTP_OK

    def host_listens() -> bool:
        return unix_listens(settings.host_socket)

    data_first = tuple(name for name in SERVERS if name in servers)
    at_once = (*data_first, "migrate")
    # Two cores are the measure: what nobody waits for starts last.
    at_last = ("web", "host-local")
    return [
        *(embedded_service(servers[name]) for name in data_first),
        Service("migrate", _python("migrate"), needs=data_first, once=True),
        Service("web", _python("web"), needs=at_once, ready=web_answers),
        Service(
            "host-local",
            _python("host-local"),
            needs=at_once,
            ready=host_listens,
            environment={
                "BRIDGE_URL": web_url(settings),
                "BRIDGE_TOKEN_FILE": str(host_token_file(settings)),
            },
        ),
        Service("beat-0", _python("beat-0"), needs=at_once),
        Service("worker", _python("worker"), needs=at_once),
        Service("beat-1", _python("beat-1"), needs=at_once, after=at_last),
        Service(
            "flower",
            lambda: (*_python("flower")(), *flower.arguments()),
            needs=at_once,
            after=at_last,
            ready=flower.answers,
            awaited=False,  # it is there to look at: no agent needs it
            environment={
                "FLOWER_BASIC_AUTH": flower.login,
                METRICS_DIR: str(settings.data_dir / "metrics" / "flower"),  # its figures are its own
            },
        ),
    ]


def embedded_service(server: Server) -> Service:
    """An embedded server as one of the services."""

    def answers() -> bool:
        return (postgres_answers if server.name == "postgres" else valkey_answers)(server.socket)

    return Service(
        server.name,
        lambda: server.argv,
        ready=answers,
        stop_signal=server.stop_signal,
        death_signal=server.death_signal,
        identity=server.identity,
    )


def probe_host(bind: str) -> str:
    """The address under which this machine reaches what listens on `bind`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bind, bind)  # noqa: S104 - looked up, not bound


def web_url(settings: Settings) -> str:
    """Where the web answers, seen from this machine."""
    return http_url(probe_host(settings.bind), settings.port)


def host_token_file(settings: Settings) -> Path:
    """Where the token of the stack's own host is while the stack runs."""
    return settings.run_dir / f"host-{LOCAL}.token"


def _python(name: str) -> Callable[[], tuple[str, ...]]:
    return lambda: (sys.executable, *COMMANDS[name][1:])
