"""Postgres and Valkey of one's own, reached over TCP with a password: unix sockets know no machines."""

from __future__ import annotations

import contextlib
import secrets
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import redis

from bridge.config import EMBEDDED_DATABASE, EMBEDDED_USER, Settings, inherited_environment
from bridge.stack.embedded import Server, prepare, private_dir, server_environment
from bridge.stack.probes import postgres_answers
from bridge.stack.process import child_setup
from tests.chaos.stack import wait_until

POSTGRES_PORT, VALKEY_PORT = 5432, 6379
STOP_S = 20.0


@contextmanager
def servers(folder: Path, address: str, network: str) -> Iterator[dict[str, str]]:
    """The variables that name them, for whoever is on the network."""
    settings = Settings(data_dir=folder, run_dir=folder / "run")
    for private in (settings.data_dir, settings.run_dir):
        private_dir(private)
    password = secrets.token_urlsafe(18)
    postgres, valkey = prepare("postgres", settings), prepare("broker", settings)
    with (folder / "postgres" / "pg_hba.conf").open("a") as rules:
        rules.write(f"host all all {network} scram-sha-256\n")
    private = folder / "broker.conf"
    private.write_text(f"bind {address}\nport {VALKEY_PORT}\nrequirepass {password}\n")
    private.chmod(0o600)
    argv = list(postgres.argv)
    argv[argv.index("-h") + 1] = address
    listens = [word for word in valkey.argv[1:] if word not in ("--port", "0")]
    with (
        _running(postgres, argv, folder),
        _running(valkey, [valkey.argv[0], str(private), *listens], folder),
    ):
        wait_until("Postgres answers", lambda: postgres_answers(postgres.socket), 30)
        wait_until("Valkey answers", lambda: _lets_in(address, password), 30)
        with psycopg.connect(host=str(settings.run_dir), user=EMBEDDED_USER, dbname=EMBEDDED_DATABASE) as own:
            own.execute(f"ALTER ROLE {EMBEDDED_USER} PASSWORD '{password}'")
        at = f"{EMBEDDED_USER}:{password}@{address}:{POSTGRES_PORT}/{EMBEDDED_DATABASE}"
        yield {
            "DATABASE_URL": f"postgresql://{at}",
            "BROKER_URL": f"redis://:{password}@{address}:{VALKEY_PORT}/0",
        }


def _lets_in(address: str, password: str) -> bool:
    with contextlib.closing(redis.Redis(address, VALKEY_PORT, password=password)) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False


@contextmanager
def _running(server: Server, argv: list[str], folder: Path) -> Iterator[None]:
    with (folder / f"{server.name}.log").open("wb") as log:
        process = subprocess.Popen(
            argv,
            env=server_environment(inherited_environment()),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=child_setup(server.identity, server.death_signal),  # noqa: PLW1509  before any thread
        )
    try:
        yield
    finally:
        process.send_signal(server.stop_signal)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait(STOP_S)
