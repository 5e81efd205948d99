"""`bridge up` as a user types it: every real process, from the first start to a kill of the manager."""

import json
import signal
import sys
from pathlib import Path

import pytest

from bridge.stack.leftovers import stack_processes
from bridge.stack.ports import free_port
from bridge.stack.probes import http_get, http_json
from bridge.stack.process import environment_of
from tests.stack.running import Running, until

PROCESSES = {"postgres", "broker", "web", "worker", "host-local", "beat-0", "beat-1", "flower"}


def bridge_up(data_dir: Path) -> Running:
    command = ["-m", "bridge.cli.app", "up", "--data", str(data_dir), "--port", str(free_port(0))]
    return Running(data_dir, argv=[sys.executable, *command])


def port_of(url: object) -> int:
    return int(str(url).rpartition(":")[2])


@pytest.mark.parametrize("last_signal", [signal.SIGKILL, signal.SIGINT])
def test_the_whole_stack_starts_serves_and_leaves_nothing(
    tmp_path: Path, last_signal: signal.Signals
) -> None:
    running = bridge_up(tmp_path / "data")
    try:
        record = running.record()
        assert set(running.pids()) == PROCESSES
        status, said = http_json("127.0.0.1", port_of(record["url"]), "/ready")
        assert (status, said["canary"]) == (200, "ok")

        flower = port_of(record["flower_url"])
        login = f"{record['flower_user']}:{record['flower_password']}"
        until(
            lambda: http_get("127.0.0.1", flower, "/")[0] == 401, "Flower, which the stack does not wait for"
        )
        assert http_get("127.0.0.1", flower, "/", login=login)[0] == 200

        secrets = [str(record[name]).encode() for name in ("flower_password", "operator_token")]
        for pid in stack_processes(running.data_dir):
            argv = Path(f"/proc/{pid}/cmdline").read_bytes()
            assert not [secret for secret in secrets if secret in argv]

        held = {name: environment_of(pid).get("BRIDGE_TOKEN_FILE") for name, pid in running.pids().items()}
        assert {name for name, file in held.items() if file} == {"host-local"}

        ended = running.end(last_signal)
        assert ended == (0 if last_signal == signal.SIGINT else -signal.SIGKILL)
        running.all_gone()
    finally:
        running.clean()


def test_a_killed_web_comes_back_on_its_port_with_its_workers(tmp_path: Path) -> None:
    """Gunicorn's workers outlive their killed master for a while and hold its port."""
    running = bridge_up(tmp_path / "data")
    try:
        port = port_of(running.record()["url"])
        running.kill_one("web")
        until(lambda: http_json("127.0.0.1", port, "/ready")[0] == 200, "the web, ready again")
        assert json.loads((running.data_dir / "stack.json").read_text())["url"].endswith(f":{port}")
        assert running.end(signal.SIGTERM) == 0
        assert stack_processes(running.data_dir) == []
        assert "does not stop: killed" not in running.said
    finally:
        running.clean()
