"""The manager, with real Postgres and Valkey and stand-ins for the rest."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import jwt
import psycopg
import pytest

from bridge.config import default_run_dir
from bridge.stack.embedded import POSTGRES_SOCKET
from bridge.stack.leftovers import stack_processes
from bridge.stack.ports import free_port
from bridge.stack.probes import postgres_answers
from bridge.stack.process import environment_of
from tests.stack.running import DEADLINE_S, STAND_IN, Running, clean_environment, until

Start = Callable[..., Running]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Running] = []

    def start_one(name: str = "data", grace_s: float = 0.2, **environment: str) -> Running:
        started.append(Running(tmp_path / name, grace_s, None, **environment))
        return started[-1]

    yield start_one
    for one in started:
        one.clean()


def connect(running: Running) -> psycopg.Connection:
    url = str(running.record()["database_url"]).replace("+psycopg", "")
    return psycopg.connect(url)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_stack_tells_about_itself_and_stops_without_a_trace(start: Start) -> None:
    running = start()
    record = running.record()
    file = running.data_dir / "stack.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert set(record) >= {
        *("pid", "url", "flower_url", "flower_user", "flower_password", "database_url", "broker_url"),
        *("operator_token", "processes"),
    }
    assert record["pid"] == running.process.pid
    assert set(running.pids()) == {"postgres", "broker", "web", "worker", "stubborn"}
    claims = jwt.decode(str(record["operator_token"]), options={"verify_signature": False})
    assert (claims["agent_id"], claims["role"], claims["workspace_id"]) == ("operator", "operator", "default")

    until(lambda: "stubborn   | deaf" in running.said, "the stubborn one, deaf to TERM")
    assert running.end(signal.SIGINT) == 0
    assert stack_processes(running.data_dir) == []
    assert not file.exists()
    assert "migrate    | migrated" in running.said
    assert "stubborn does not stop: killed" in running.said
    assert "\x1b" not in running.said
    secrets = [str(record["flower_password"]), str(record["operator_token"])]
    assert not [secret for secret in secrets if secret in running.said]


def test_no_secret_is_in_an_argv(start: Start) -> None:
    running = start()
    password = str(running.record()["flower_password"])
    seen = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in running.pids().values()]
    assert not [argv for argv in seen if password.encode() in argv]
    environment = Path(f"/proc/{running.pids()['web']}/environ").read_bytes()
    assert f"FLOWER_BASIC_AUTH=bridge:{password}".encode() in environment


def test_postgres_comes_back_with_its_rows_after_a_kill(start: Start) -> None:
    running = start()
    with connect(running) as link:
        link.execute("create table kept as select 7 as n")
    running.kill_one("postgres")
    socket = Path(str(running.record()["database_url"]).rpartition("host=")[2]) / POSTGRES_SOCKET
    until(lambda: postgres_answers(socket), "Postgres")
    with connect(running) as link:
        assert link.execute("select n from kept").fetchone() == (7,)


def test_whatever_dies_comes_back_and_its_leftovers_are_ended(start: Start) -> None:
    running = start()
    running.record()
    left = until(lambda: running.said.partition("left=")[2].partition(".")[0], "the leftover's pid")
    for name in ("broker", "web", "worker", "stubborn"):
        running.kill_one(name)
    until(lambda: not alive(int(left)), "the end of what the worker left behind")
    until(lambda: running.said.count("web ready in") > 1, "the second web, on the same port")
    for name in ("broker", "web", "worker", "stubborn"):
        assert alive(running.pids()[name]), name


def test_what_a_dead_shim_left_is_ended_with_its_worker_and_a_living_shim_ends_its_run_itself(
    start: Start,
) -> None:
    running = start()
    running.record()
    run = int(until(lambda: running.said.partition("run=")[2].partition(".")[0], "the run's pid"))
    shim = int(until(lambda: running.said.partition("shim=")[2].partition(".")[0], "the shim's pid"))
    running.kill_one("worker")
    until(lambda: not alive(run), "the end of what a dead shim left behind")
    until(lambda: running.said.count("shim=") > 1, "the second worker")
    assert alive(shim)


def test_a_killed_manager_leaves_no_process_and_the_next_one_finds_the_data(start: Start) -> None:
    running = start()
    with connect(running) as link:
        link.execute("create table kept as select 8 as n")
    key = (running.data_dir / "keys" / "signing.pem").read_bytes()
    assert stack_processes(running.data_dir)
    running.end(signal.SIGKILL)
    running.all_gone()

    again = start()
    with connect(again) as link:
        assert link.execute("select n from kept").fetchone() == (8,)
    assert (again.data_dir / "keys" / "signing.pem").read_bytes() == key
    assert again.end(signal.SIGTERM) == 0
    again.all_gone()


def test_a_second_stack_on_the_same_data_is_refused_by_name(start: Start) -> None:
    running = start()
    record = running.record()
    second = subprocess.run(
        [sys.executable, str(STAND_IN), str(running.data_dir), str(free_port(0)), "1"],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert second.returncode == 1
    assert f"pid {running.process.pid}" in second.stderr
    assert str(record["url"]) in second.stderr
    assert (running.data_dir / "stack.json").exists()


def test_down_stops_a_running_stack_and_is_content_when_there_is_none(start: Start) -> None:
    running = start()
    running.record()
    down = [sys.executable, "-m", "bridge.cli.app", "down", "--data", str(running.data_dir)]
    stopped = subprocess.run(down, env=clean_environment(), capture_output=True, text=True, check=True)
    assert f"pid {running.process.pid}" in stopped.stdout
    assert running.process.wait(DEADLINE_S) == 0
    assert stack_processes(running.data_dir) == []
    none = subprocess.run(down, env=clean_environment(), capture_output=True, text=True, check=True)
    assert "no stack was running" in none.stdout


def test_servers_that_are_given_are_not_started(start: Start) -> None:
    first = start("one")
    record = first.record()
    given = {
        name: str(record[key])
        for name, key in (("DATABASE_URL", "database_url"), ("BROKER_URL", "broker_url"))
    }
    second = start("two", **given)
    assert set(second.pids()) == {"web", "worker", "stubborn"}
    assert second.record()["database_url"] == given["DATABASE_URL"]
    assert not (second.data_dir / "postgres").exists()


def test_a_taken_port_is_refused_in_one_line(start: Start) -> None:
    running = start()
    port = str(running.record()["url"]).rpartition(":")[2]
    second = subprocess.run(
        [sys.executable, "-m", "bridge.cli.app", "up", "--data", f"{running.data_dir}2", "--port", port],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert second.returncode == 1
    assert second.stderr.count("\n") == 1
    assert f"port {port}" in second.stderr
    assert stack_processes(Path(f"{running.data_dir}2")) == []


def test_a_stack_that_is_stopped_while_it_starts_leaves_nothing(start: Start) -> None:
    running = start()
    until(lambda: "starting postgres" in running.said, "the start")
    assert running.end(signal.SIGTERM) == 0
    assert stack_processes(running.data_dir) == []


def test_a_second_signal_kills_what_the_first_only_asked(start: Start) -> None:
    running = start(grace_s=10_000)
    until(lambda: "stubborn   | deaf" in running.said, "the stubborn one, deaf to TERM")
    running.record()
    running.process.send_signal(signal.SIGINT)
    until(lambda: "stopping" in running.said, "the stop")
    assert running.end(signal.SIGINT) == 0
    assert "stubborn does not stop: killed" in running.said
    assert stack_processes(running.data_dir) == []


def test_the_operators_token_is_signed_with_the_published_key(start: Start) -> None:
    running = start()
    token = str(running.record()["operator_token"])
    keys = jwt.PyJWKSet.from_json((running.data_dir / "keys" / "jwks.json").read_text())
    key = keys[cast("str", jwt.get_unverified_header(token)["kid"])]
    claims = jwt.decode(token, key, algorithms=["EdDSA"], audience="wakebridge", issuer="wakebridge")
    assert claims["exp"] - claims["iat"] == 3600
    assert (running.data_dir / "keys" / "signing.pem").stat().st_mode & 0o777 == 0o600


def test_the_stacks_host_has_a_token_in_a_file_of_its_own_as_long_as_the_stack_runs(start: Start) -> None:
    elsewhere = {"BRIDGE_TOKEN": "a-persons", "BRIDGE_URL": "http://127.0.0.1:1", "BRIDGE_TOKEN_FILE": "/x"}
    running = start(**elsewhere)
    running.record()
    file = default_run_dir(running.data_dir) / "host-local.token"
    assert file.stat().st_mode & 0o777 == 0o600
    claims = jwt.decode(file.read_text().strip(), options={"verify_signature": False})
    assert (claims["agent_id"], claims["role"], claims["workspace_id"]) == ("host:local", "host", "default")
    assert claims["exp"] - claims["iat"] == 3600
    for name, pid in running.pids().items():  # what a person's shell says is no service's business
        assert not set(elsewhere) & set(environment_of(pid)), name
    assert running.end(signal.SIGTERM) == 0
    assert not file.exists()
