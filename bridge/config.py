"""Settings: the only reader of the environment.

Rules of this file:

- Every setting is a field of `Settings`, read from `BRIDGE_<NAME>`; the two addresses everybody knows are
  read without a prefix: `DATABASE_URL` and `BROKER_URL`.
- Settings are frozen. They are loaded once, at an entry point, and handed on as an argument.
- A setting that follows from another one (`keys/`, the run directory) is worked out here and nowhere else,
  so that two processes with the same environment always agree.
- `None` for a server's address means the embedded one; `*_in_force` is the address to connect to.
"""

import hashlib
import os
import pwd
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urlsplit

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "BRIDGE_"
UNPREFIXED = {"database_url": "DATABASE_URL", "broker_url": "BROKER_URL"}

# A Unix socket's path has at most 107 bytes; the longest name in the run directory is
# `/host-<32 letters>.sock`.
RUN_DIR_BYTES_MAX = 60
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
HOST_NAME_PATTERN = r"^[a-z0-9][a-z0-9-]{0,31}$"

EMBEDDED_DATABASE = "wakebridge"
EMBEDDED_USER = "postgres"
EMBEDDED_BROKER_SOCKET = "broker.sock"
METRICS_DIR = "PROMETHEUS_MULTIPROC_DIR"


def default_data_dir() -> Path:
    """Where data lives when nobody says otherwise: `$XDG_DATA_HOME/wakebridge`."""
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "wakebridge"


def default_run_dir(data_dir: Path) -> Path:
    """A directory for sockets, short enough for their paths, and another one for each data directory."""
    inside = data_dir / "run"
    if len(os.fsencode(inside)) <= RUN_DIR_BYTES_MAX:
        return inside
    name = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    runtime_dir = os.environ.get("XDG_RUNTIME_DIR")
    if runtime_dir and Path(runtime_dir).is_dir() and len(runtime_dir) <= RUN_DIR_BYTES_MAX - 24:
        return Path(runtime_dir) / f"wakebridge-{name}"
    return Path(f"/tmp/wakebridge-{os.getuid()}-{name}")  # noqa: S108 - whoever makes it checks owner and mode


def default_agents_dir(data_dir: Path) -> Path:
    """What agents of another user may enter: below root's own folder, where nobody else can make it first."""
    return Path("/run") / f"wakebridge-{hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]}"


def _run_dir(data: dict[str, Any]) -> Path:
    return default_run_dir(data["data_dir"])


def _agents_dir(data: dict[str, Any]) -> Path:
    if data.get("agents_as"):
        return default_agents_dir(data["data_dir"])
    return Path(data["run_dir"])


def _jwks_file(data: dict[str, Any]) -> Path:
    return Path(data["data_dir"]) / "keys" / "jwks.json"


def _presets_dir(data: dict[str, Any]) -> Path:
    return Path(data["data_dir"]) / "presets"


def _signing_key_file(data: dict[str, Any]) -> Path:
    return Path(data["data_dir"]) / "keys" / "signing.pem"


def _metrics_token_file(data: dict[str, Any]) -> Path:
    return Path(data["data_dir"]) / "keys" / "metrics.token"


class Settings(BaseSettings):
    """All that can be set from outside, frozen. Policy (deadlines, tries, ladders) is data, not here."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", validate_by_name=True)

    # Where things are
    data_dir: Path = Field(
        default_factory=default_data_dir,
        validation_alias=AliasChoices("BRIDGE_DATA_DIR", "BRIDGE_DATA"),
        description="Everything the stack keeps: the servers' data, keys, stack.json.",
    )
    run_dir: Path = Field(default_factory=_run_dir, description="Sockets: short, mode 0700, only ours.")
    agents_as: str | None = Field(
        default=None, description="User that the agents started here run as; not set: this process's own."
    )
    agents_dir: Path = Field(
        default_factory=_agents_dir,
        description="What agents reach: the host's socket, their tokens. With agents_as apart from run_dir.",
    )
    presets_dir: Path = Field(
        default_factory=_presets_dir, description="This host's own presets: how agents are started here."
    )
    database_url: str | None = Field(
        default=None,
        repr=False,
        validation_alias="DATABASE_URL",
        description="Postgres 16+, as postgresql://. Not set: the embedded server.",
    )
    broker_url: str | None = Field(
        default=None,
        repr=False,
        validation_alias="BROKER_URL",
        description="redis://, redis+socket:///path or amqp://. Not set: the embedded server.",
    )
    pg_bin: Path | None = Field(default=None, description="Folder with postgres and initdb, not the wheel's.")
    valkey_server: Path | None = Field(default=None, description="A valkey-server, not the wheel's.")

    # Who and where this process is
    host_name: str = Field(default="local", pattern=HOST_NAME_PATTERN, description="host.<name>.")
    drain_s: float = Field(
        default=4.0,
        ge=0,
        le=600,
        description="How long a host's worker that is told to stop lets its runs go on.",
    )
    bind: str = Field(default="127.0.0.1", description="Address the web listens on.")
    port: int = Field(default=8765, ge=1, le=65535, description="Port the web listens on.")
    web_workers: int = Field(default=2, ge=1, le=64, description="Web worker processes.")

    # Keys and tokens
    jwks_file: Path = Field(default_factory=_jwks_file, description="Public keys that check tokens.")
    jwks_url: str | None = Field(
        default=None,
        description="An issuer's public keys besides: https://, or http:// on loopback. Read every 5 min.",
    )
    signing_key_file: Path = Field(
        default_factory=_signing_key_file, description="Private key, mode 0600, for the web process alone."
    )
    token_issuer: str = Field(default="wakebridge", description="Required `iss` of every token.")
    token_audience: str = Field(default="wakebridge", description="Required `aud` of every token.")
    metrics_token_file: Path = Field(
        default_factory=_metrics_token_file, description="The scrape token of /metrics, mode 0600."
    )

    # The caller's side: the CLI, `bridge run`, MCP
    url: str | None = Field(default=None, description="The bridge's URL; not set: found in stack.json.")
    token: SecretStr | None = Field(default=None, description="The caller's token.")
    token_file: Path | None = Field(default=None, description="File with the caller's token.")
    session_id: str | None = Field(default=None, description="The session whose shell this is.")

    # The rest
    policy_file: Path | None = Field(default=None, description="Seed of the default policy.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="Least.")
    test_clock: bool = Field(default=False, description="bridge_now() may be set: tests only.")
    crash_at: str | None = Field(
        default=None, description="A worker dies at this point, as by SIGKILL; with test_clock only."
    )

    # Bounds
    request_bytes_max: int = Field(default=256 * 1024, ge=1024, description="A whole request.")
    request_s_max: float = Field(
        default=10.0, gt=0, le=600, description="Longest that a request may take to arrive, head and body."
    )
    body_bytes_max: int = Field(default=64 * 1024, ge=1, description="A message's body.")
    metadata_bytes_max: int = Field(default=16 * 1024, ge=1, description="A message's metadata.")
    nesting_max: int = Field(default=32, ge=1, description="Depth of JSON in a request.")
    values_max: int = Field(default=10_000, ge=100, description="Values in the JSON of a request.")
    participants_max: int = Field(default=200, ge=2, description="Participants of one thread.")
    db_pool_size: int = Field(default=8, ge=1, description="Database connections of one process.")
    db_pool_timeout_s: float = Field(default=5.0, gt=0, description="Longest wait for one of them.")

    @field_validator(
        "data_dir",
        "run_dir",
        "agents_dir",
        "presets_dir",
        "jwks_file",
        "signing_key_file",
        "metrics_token_file",
        "policy_file",
        "pg_bin",
        "valkey_server",
        "token_file",
    )
    @classmethod
    def absolute(cls, path: Path | None) -> Path | None:
        """Paths are absolute: each process may stand in another directory."""
        return None if path is None else Path(os.path.abspath(path.expanduser()))  # noqa: PTH100 - keeps symlinks

    @field_validator("agents_as")
    @classmethod
    def another(cls, name: str | None) -> str | None:
        """Oneself is nobody else."""
        return other_user(name, os.geteuid()) if name else None

    @field_validator("run_dir", "agents_dir")
    @classmethod
    def short(cls, path: Path) -> Path:
        """A directory of sockets leaves room for their names."""
        if len(os.fsencode(path)) > RUN_DIR_BYTES_MAX:
            msg = f"at most {RUN_DIR_BYTES_MAX} bytes, or the sockets in it get no address"
            raise ValueError(msg)
        return path

    @field_validator("database_url")
    @classmethod
    def with_driver(cls, url: str | None) -> str | None:
        """SQLAlchemy's form of the address, whichever form was given."""
        if not url:
            return None
        for plain in ("postgresql://", "postgres://"):
            if url.startswith(plain):
                return "postgresql+psycopg://" + url.removeprefix(plain)
        if not url.startswith("postgresql+psycopg://"):
            msg = "only Postgres is supported: postgresql://user@host/database"
            raise ValueError(msg)
        return url

    @field_validator("broker_url")
    @classmethod
    def known_broker(cls, url: str | None) -> str | None:
        """An address of a broker that was tried."""
        if not url:
            return None
        if not url.startswith(("redis://", "rediss://", "redis+socket://", "amqp://", "amqps://")):
            msg = "use redis://, rediss://, redis+socket:///path, amqp:// or amqps://"
            raise ValueError(msg)
        return url

    @field_validator("jwks_url")
    @classmethod
    def safe_issuer(cls, url: str | None) -> str | None:
        """Keys that decide who gets in come by a way on which nobody can put in others."""
        if not url:
            return None
        parts = urlsplit(url)
        is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
        has_user = parts.username is not None or parts.password is not None
        if not is_safe or not parts.hostname or has_user or parts.port == 0:  # a port that is none raises
            msg = "use https://, or http:// on loopback, without a user in it"
            raise ValueError(msg)
        return url

    @property
    def database_url_in_force(self) -> str:
        """The database to connect to, in SQLAlchemy's form: the given one, or the embedded server's."""
        return self.database_url or embedded_database_url(self.run_dir)

    @property
    def broker_url_in_force(self) -> str:
        """The broker to connect to, in kombu's form: the given one, or the embedded server's."""
        return self.broker_url or embedded_broker_url(self.run_dir)

    @property
    def host_socket(self) -> Path:
        """Where the host worker listens for wrappers."""
        return self.agents_dir / f"host-{self.host_name}.sock"

    @property
    def runs_dir(self) -> Path:
        """Where the host's runs keep their files."""
        return self.agents_dir / "runs"

    @property
    def stack_file(self) -> Path:
        """What a running stack tells about itself."""
        return self.data_dir / "stack.json"


def other_user(name: str, uid: int) -> str | None:
    """That user, unless it is the one of this uid. Root is none to be let through: whoever names it is to be told."""
    try:
        own = uid != 0 and pwd.getpwuid(uid).pw_name == name
    except KeyError:
        own = False
    return None if own else name


def embedded_database_url(run_dir: Path) -> str:
    """The embedded Postgres, whose socket is in `run_dir`, in SQLAlchemy's form."""
    return f"postgresql+psycopg://{EMBEDDED_USER}@/{EMBEDDED_DATABASE}?host={quote(str(run_dir))}"


def embedded_broker_url(run_dir: Path) -> str:
    """The embedded Valkey, whose socket is in `run_dir`, in kombu's form."""
    return f"redis+socket://{quote(str(run_dir / EMBEDDED_BROKER_SOCKET))}"


def child_environment(settings: Settings) -> dict[str, str]:
    """The variables that give a child process these settings, the addresses in force included."""
    found: dict[str, str] = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if value is None or name in UNPREFIXED or name == "token":
            continue
        found[PREFIX + name.upper()] = str(value).lower() if isinstance(value, bool) else str(value)
    return found | {
        "DATABASE_URL": settings.database_url_in_force,
        "BROKER_URL": settings.broker_url_in_force,
    }


def inherited_environment() -> dict[str, str]:
    """A copy of this process's own variables, for the children it starts."""
    return dict(os.environ)


def load_settings(**overrides: Any) -> Settings:  # noqa: ANN401 - fields by name, checked by pydantic
    """The environment's settings; an override that is not None wins (a command's option)."""
    return Settings(**{name: value for name, value in overrides.items() if value is not None})


def metrics_dir() -> Path | None:
    """Where the processes of this machine share their figures; None: each counts for itself."""
    found = os.environ.get(METRICS_DIR)
    return Path(found) if found else None


def share_metrics(directory: Path) -> None:
    """Let this process and those it forks share their figures there. Before prometheus_client is imported."""
    os.environ[METRICS_DIR] = str(directory)
