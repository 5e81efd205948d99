"""`bridge host` as it is typed: what it refuses, the worker it becomes, how an operator lists hosts and drains one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from bridge.cli.app import run
from bridge.config import Settings
from bridge.core.claims import unchecked_claims
from bridge.core.states import Role
from bridge.db.host_term import HostTerms
from bridge.db.keeper import Keeping
from bridge.db.uow import Database
from bridge.stack.process import environment_of
from tests.stack.running import clean_environment
from tests.support.postgres import Owner
from tests.support.web import Mint, free_port, gunicorn
from tests.tasks.world import until

BRIDGE = [sys.executable, "-m", "bridge.cli.app"]


@pytest.fixture
def settings(database_url: str, broker_url: str) -> Iterator[Settings]:
    with TemporaryDirectory(
        prefix="wb-", ignore_cleanup_errors=True
    ) as folder:  # a socket's path must be short
        yield Settings(
            data_dir=Path(folder) / "a", database_url=database_url, broker_url=broker_url, port=free_port()
        )


class Machine:
    """A second machine, as its shell sees the bridge: a data directory, addresses, a token."""

    def __init__(self, settings: Settings, mint: Mint) -> None:
        self.folder = settings.data_dir.parent / "b"
        self.token_file = settings.data_dir.parent / "host.token"
        self.mint = mint
        self.put_token("host:east")
        assert settings.database_url is not None
        assert settings.broker_url is not None
        self.environment = clean_environment(
            DATABASE_URL=settings.database_url,
            BROKER_URL=settings.broker_url,
            BRIDGE_URL=f"http://127.0.0.1:{settings.port}",
            BRIDGE_TOKEN_FILE=str(self.token_file),
            BRIDGE_TOKEN="a-persons-own",
            BRIDGE_DATA=str(self.folder),
        )

    def put_token(self, agent_id: str, role: Role = Role.HOST) -> str:
        token = self.mint.token(agent_id, role, workspace="default")
        self.token_file.write_text(token)
        self.token_file.chmod(0o600)
        return token

    def refused(self) -> str:
        """What `bridge host` says on standard error when it does not start: one line."""
        done = subprocess.run(
            [*BRIDGE, "host", "east"],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stdout) == (1, ""), done.stderr
        assert done.stderr.count("\n") == 1
        return done.stderr


@pytest.fixture
def machine(settings: Settings) -> Machine:
    return Machine(settings, Mint(settings))


@pytest.fixture
def terms(settings: Settings) -> Iterator[HostTerms]:
    db = Database(settings.database_url_in_force)
    yield HostTerms(db, Keeping(db))
    db.close()


def test_everything_that_is_missing_is_named_at_once_with_where_to_get_it(machine: Machine) -> None:
    del machine.environment["BRIDGE_URL"]
    said = machine.refused()
    assert "BRIDGE_URL" in said
    assert "DATABASE_URL" not in said
    for name in ("DATABASE_URL", "BROKER_URL", "BRIDGE_TOKEN_FILE"):
        del machine.environment[name]
    said = machine.refused()
    for word in (
        "DATABASE_URL",
        "BROKER_URL",
        "--url",
        "--token-file",
        "bridge token issue --agent host:east",
    ):
        assert word in said


def test_a_token_that_is_not_this_hosts_is_refused(machine: Machine) -> None:
    token = machine.put_token("host:west")
    said = machine.refused()
    assert "host:west" in said
    assert "needs one of host:east" in said
    assert token not in said
    machine.put_token("host:east", Role.PARTICIPANT)
    assert "role participant" in machine.refused()
    machine.put_token("host:east")
    machine.token_file.chmod(0o644)
    assert "chmod 600" in machine.refused()
    machine.token_file.unlink()
    assert "cannot be read" in machine.refused()


def test_a_database_that_is_away_or_of_another_version_is_refused(machine: Machine, owner: Owner) -> None:
    owner.run("UPDATE alembic_version SET version_num = '9999'")
    assert "at revision 9999" in machine.refused()
    machine.environment["DATABASE_URL"] = f"postgresql://nobody@127.0.0.1:{free_port()}/none"
    assert "the database that DATABASE_URL names does not answer" in machine.refused()


def test_a_name_that_another_machine_holds_is_refused_with_who_holds_it(
    machine: Machine, terms: HostTerms
) -> None:
    assert terms.see("east", "elsewhere:boot:cafe/w") == 1
    assert "held by another machine, elsewhere:boot:cafe, which was seen" in machine.refused()


@pytest.mark.parametrize(
    "words",
    [
        ("East",),
        ("east", "--drain"),
        ("--undrain", "--reason", "x"),
        ("east", "--drain", "--undrain", "--reason", "x"),
        ("east", "--reason", "x"),
    ],
    ids=" ".join,
)
def test_words_that_say_nothing_together_are_usage(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["host", *words]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_bridge_host_becomes_the_worker_that_holds_the_host(
    machine: Machine, settings: Settings, terms: HostTerms, owner: Owner, tmp_path: Path
) -> None:
    owner.run("INSERT INTO workspaces VALUES ('default', bridge_now()) ON CONFLICT DO NOTHING")
    before = machine.token_file.read_text()
    log = tmp_path / "host.log"
    with gunicorn(settings), log.open("wb") as output:
        process = subprocess.Popen(
            [*BRIDGE, "host", "east", "--json"], env=machine.environment, stdout=output, stderr=output
        )
        try:
            until(lambda: terms.holder("east"), "the host seen", 60)
            assert "runs here already" in machine.refused()
        finally:
            process.terminate()
            ended = process.wait(30)
    said = log.read_text(errors="replace")
    assert ended == 0, said
    started = json.loads(said.splitlines()[1] if said.startswith("bridge:") else said.splitlines()[0])
    assert (started["host"], started["pid"]) == ("east", process.pid)
    fresh = machine.token_file.read_text().strip()
    assert fresh != before.strip()
    assert unchecked_claims(fresh)["agent_id"] == "host:east"
    assert fresh not in said
    assert machine.token_file.stat().st_mode & 0o777 == 0o600


def test_the_worker_is_the_stacks_own_without_a_persons_token(
    machine: Machine, terms: HostTerms, tmp_path: Path
) -> None:
    with (tmp_path / "host.log").open("wb") as output:  # no web answers: a worker starts all the same
        process = subprocess.Popen(
            [*BRIDGE, "host", "east"], env=machine.environment, stdout=output, stderr=output
        )
        try:
            until(lambda: terms.holder("east"), "the host seen", 60)
            argv = Path(f"/proc/{process.pid}/cmdline").read_bytes().decode().split("\0")
            assert argv[1:9] == ["-m", "celery", "-A", "tasks.celery", "worker", "-n", "host-east@%h", "-Q"]
            environment = environment_of(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
    assert environment["BRIDGE_HOST_NAME"] == "east"
    assert environment["BRIDGE_TOKEN_FILE"] == str(machine.token_file)
    assert environment["BRIDGE_DRAIN_S"] == "10.0"
    assert "BRIDGE_TOKEN" not in environment
    assert "no bridge answers at" in (tmp_path / "host.log").read_text(errors="replace")


Bridge = Callable[..., tuple[int, str, str]]


@pytest.fixture
def bridge(
    settings: Settings, owner: Owner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[Bridge]:
    """`bridge("host", "--list")`, by an operator: exit code, standard output, standard error."""
    owner.run("INSERT INTO workspaces VALUES ('default', bridge_now()) ON CONFLICT DO NOTHING")
    token_file = tmp_path / "operator.token"
    token_file.write_text(Mint(settings).token("operator", Role.OPERATOR, workspace="default"))
    with gunicorn(settings) as web:
        yield _caller(web, token_file, capsys)


def _caller(web: httpx.Client, token_file: Path, capsys: pytest.CaptureFixture[str]) -> Bridge:
    def call(*words: str) -> tuple[int, str, str]:
        code = run([*words, "--url", str(web.base_url), "--token-file", str(token_file)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_an_operator_lists_hosts_and_drains_one(bridge: Bridge, terms: HostTerms, owner: Owner) -> None:
    assert bridge("host")[1] == "no hosts\n"
    terms.see("east", "machine-1:boot:cafe/w", "0.1.0", {"codex": ["spawn"], "claude": ["resume"]})
    owner.run("INSERT INTO hosts (host, seen_at) VALUES ('gone', '2026-01-02 03:04:05+00'), ('never', NULL)")

    code, out, _ = bridge("host", "--list")
    heads, east, gone, never = out.splitlines()
    assert code == 0
    assert heads.split()[:4] == ["host", "state", "slots", "runs"]
    assert east.split() == [
        "east",
        "ready",
        "0/8",
        "0",
        "0",
        "1",
        "0.1.0",
        "machine-1:boot:cafe",
        "claude,codex",
    ]
    assert "not seen since 2026-01-02 03:04:05 UTC" in gone
    assert "never seen" in never

    code, out, _ = bridge("host", "east", "--drain", "--reason", "a new kernel")
    assert (code, out) == (0, "east: nothing new is started there (0 of its slots are in use)\n")
    found = json.loads(bridge("host", "--list", "--json")[1])["items"]
    assert [item["draining"] for item in found if item["host"] == "east"] == [True]
    assert bridge("host", "east", "--undrain", "--reason", "done")[0] == 0
    assert owner.value("SELECT draining FROM hosts WHERE host = 'east'") is False
    code, _, err = bridge("host", "west", "--drain", "--reason", "x")
    assert code == 1
    assert "NOT_FOUND" in err
