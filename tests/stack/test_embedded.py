"""The embedded servers: found, prepared, private, durable, and gone with their starter."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from bridge.config import Settings, default_run_dir
from bridge.stack.embedded import ServerFailed, ServerMissing, prepare, private_dir, valkey_server
from bridge.stack.leftovers import end_leftovers, stack_processes
from bridge.stack.probes import postgres_answers, valkey_answers
from bridge.stack.process import Identity, child_setup, nobody, server_identity
from bridge.stack.servers import EmbeddedServers, embedded_servers
from tests.stack.running import clean_environment, until


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServers]:
    with embedded_servers(tmp_path_factory.mktemp("embedded") / "data") as running:
        yield running


def plain(servers: EmbeddedServers) -> str:
    return servers.database_url.replace("+psycopg", "")


def test_postgres_is_as_durable_as_a_message_needs(servers: EmbeddedServers) -> None:
    with psycopg.connect(plain(servers)) as link:
        for name in ("fsync", "full_page_writes", "synchronous_commit"):
            assert link.execute("select current_setting(%s)", [name]).fetchone() == ("on",)
        assert link.execute("select current_setting('listen_addresses')").fetchone() == ("",)
        version = link.execute("select current_setting('server_version_num')::int").fetchone()
        assert version is not None
        assert version[0] >= 160000


def test_the_broker_never_evicts_and_keeps_what_it_has(servers: EmbeddedServers) -> None:
    argv = Path(f"/proc/{servers.pid('broker')}/cmdline").read_bytes()
    assert b"valkey" in argv
    assert valkey_answers(Path(servers.broker_url.removeprefix("redis+socket://")))
    config = {"maxmemory-policy": "noeviction", "appendonly": "yes", "appendfsync": "everysec", "port": "0"}
    prepared = prepare("broker", servers.settings).argv
    given = dict(zip(prepared[1::2], prepared[2::2], strict=True))
    assert {name: given[f"--{name}"] for name in config} == config


def test_nobody_else_can_reach_the_sockets(servers: EmbeddedServers) -> None:
    run_dir = servers.settings.run_dir
    assert run_dir.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o077 for path in run_dir.iterdir() if path.is_socket()} == {0}


def test_rows_survive_a_kill_of_postgres_and_a_restart_of_both(servers: EmbeddedServers) -> None:
    with psycopg.connect(plain(servers)) as link:
        link.execute("create table kept as select 5 as n")
    servers.signal("postgres", signal.SIGKILL)
    servers.start_one("postgres")
    servers.wait_for("postgres")
    servers.stop()
    servers.start()
    with psycopg.connect(plain(servers)) as link:
        assert link.execute("select n from kept").fetchone() == (5,)


def test_a_start_that_was_killed_half_way_is_healed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "postgres.new").mkdir(parents=True)
    (data / "postgres.new" / "PG_VERSION").write_text("18\n")
    with embedded_servers(data) as servers:
        assert not (data / "postgres.new").exists()
        with psycopg.connect(plain(servers)) as link:
            assert link.execute("select current_database()").fetchone() == ("wakebridge",)


def test_a_killed_starter_leaves_no_server(tmp_path: Path) -> None:
    data = tmp_path / "data"
    program = (
        "import pathlib, signal, sys\n"
        "from bridge.stack.servers import embedded_servers\n"
        "with embedded_servers(pathlib.Path(sys.argv[1])):\n"
        "    print('up', flush=True)\n"
        "    signal.pause()\n"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", program, str(data)], env=clean_environment(), stdout=subprocess.PIPE
    )
    assert starter.stdout is not None
    try:
        assert starter.stdout.readline() == b"up\n"
        assert len(stack_processes(data)) > 2
        starter.kill()
        starter.wait()
        until(lambda: not stack_processes(data), "the end of the servers")
    finally:
        starter.kill()
        starter.stdout.close()
        starter.wait()
        end_leftovers(data)
        for path in default_run_dir(data).glob("*"):
            path.unlink()
        default_run_dir(data).rmdir()


def test_only_the_two_servers_are_known(tmp_path: Path) -> None:
    with pytest.raises(ServerFailed, match="no embedded server 'mysql'"):
        prepare("mysql", Settings(data_dir=tmp_path))


def test_missing_binaries_are_told_with_what_to_set(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, pg_bin=tmp_path, valkey_server=tmp_path / "none")
    with pytest.raises(ServerMissing, match="BRIDGE_PG_BIN"):
        prepare("postgres", settings)
    with pytest.raises(ServerMissing, match="BRIDGE_VALKEY_SERVER"):
        valkey_server(settings)


def test_a_foreign_folder_in_the_place_of_the_data_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "thesis.txt").write_text("years of work")
    with pytest.raises(ServerFailed, match="move it away"):
        prepare("postgres", Settings(data_dir=tmp_path))
    assert (tmp_path / "postgres" / "thesis.txt").read_text() == "years of work"


def test_data_of_another_major_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("9\n")
    with pytest.raises(ServerFailed, match="made by Postgres 9"):
        prepare("postgres", Settings(data_dir=tmp_path))


def test_a_private_folder_is_closed_and_a_planted_one_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    assert private_dir(tmp_path / "open").stat().st_mode & 0o777 == 0o700
    (tmp_path / "link").symlink_to(tmp_path / "open")
    with pytest.raises(ServerFailed, match="not a directory of this user"):
        private_dir(tmp_path / "link")


def test_postgres_never_runs_as_root(tmp_path: Path) -> None:
    """In a namespace where that is allowed; else as nobody, who still reaches a folder of mode 0700."""
    data = tmp_path / "data"
    with embedded_servers(data) as servers:
        binary = Path(servers.settings.data_dir / "postgres").exists()
        assert binary
        assert postgres_answers(servers.settings.run_dir / ".s.PGSQL.5432")
    if os.geteuid() != 0:
        assert server_identity(Path("/bin/true")) is Identity.SAME
        return
    tmp_path.chmod(0o700)
    (tmp_path / "secret").write_text("readable")
    for identity in (Identity.NAMESPACE, Identity.NOBODY):
        if identity is Identity.NAMESPACE and server_identity(Path("/bin/true")) is not identity:
            continue
        seen = subprocess.run(
            ["/bin/sh", "-c", f"id -u; cat {tmp_path}/secret"],
            preexec_fn=child_setup(identity, signal.SIGKILL),
            capture_output=True,
            text=True,
            check=True,
        )
        assert seen.stdout == f"{nobody()[0]}\nreadable"
