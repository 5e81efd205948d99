"""The small parts of the stack: settings, keys, records, lines, services, the root of the command."""

import asyncio
import io
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from bridge.cli.app import COMMANDS, build
from bridge.config import RUN_DIR_BYTES_MAX, Settings, child_environment, default_run_dir, load_settings
from bridge.stack.embedded import Server
from bridge.stack.flower import FlowerDoor
from bridge.stack.keys import KeyUnusable, ensure_keys, load_signing_key, public_jwk
from bridge.stack.log import LINE_BYTES_MAX, Lines, pump
from bridge.stack.probes import unix_listens
from bridge.stack.record import AlreadyRunning, StackLock, write_private
from bridge.stack.services import service_commands, stack_services
from tests.stack.running import clean_environment


def test_a_child_gets_the_same_settings_from_its_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data_dir=tmp_path, port=4711, host_name="east", log_level="DEBUG", test_clock=True)
    for name, value in child_environment(settings).items():
        monkeypatch.setenv(name, value)
    child = load_settings()
    given = {"database_url": settings.database_url_in_force, "broker_url": settings.broker_url_in_force}
    assert child == settings.model_copy(update=given)


def test_the_run_directory_is_short_and_another_for_each_data_directory(tmp_path: Path) -> None:
    deep = [tmp_path / ("deep" * 20) / name for name in ("one", "two")]
    dirs = {Settings(data_dir=path).run_dir for path in deep}
    assert len(dirs) == 2
    assert all(len(os.fsencode(path)) <= RUN_DIR_BYTES_MAX for path in dirs)
    with pytest.raises(ValidationError, match="no address"):
        Settings(data_dir=tmp_path, run_dir=deep[0])


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("postgresql://u@h/d", "postgresql+psycopg://u@h/d"),
        ("postgres://u@h/d", "postgresql+psycopg://u@h/d"),
        ("postgresql+psycopg://u@h/d", "postgresql+psycopg://u@h/d"),
        ("", None),
    ],
)
def test_a_database_url_is_taken_in_each_usual_form(tmp_path: Path, given: str, kept: str | None) -> None:
    assert Settings(data_dir=tmp_path, database_url=given).database_url == kept


def test_what_cannot_work_is_refused_at_once(tmp_path: Path) -> None:
    for wrong in (
        {"database_url": "mysql://x"},
        {"broker_url": "sqs://x"},
        {"host_name": "a b"},
        {"port": 0},
    ):
        with pytest.raises(ValidationError):
            Settings(data_dir=tmp_path, **wrong)
    with pytest.raises(ValidationError):
        Settings(data_dir=tmp_path).port = 1  # type: ignore[misc]


def test_keys_are_made_once_and_published_under_their_thumbprint(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    key = ensure_keys(settings)
    again = ensure_keys(settings)
    assert public_jwk(key) == public_jwk(again)
    published = json.loads(settings.jwks_file.read_text())["keys"]
    assert published == [public_jwk(key)]
    assert "d" not in published[0]
    assert settings.signing_key_file.stat().st_mode & 0o777 == 0o600
    assert settings.metrics_token_file.stat().st_mode & 0o777 == 0o600


def test_a_new_signing_key_is_added_to_the_old_ones(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    old = public_jwk(ensure_keys(settings))
    settings.signing_key_file.unlink()
    new = public_jwk(ensure_keys(settings))
    assert json.loads(settings.jwks_file.read_text())["keys"] == [new, old]


def test_a_signing_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    ensure_keys(settings)
    settings.signing_key_file.chmod(0o644)
    with pytest.raises(KeyUnusable, match="read by others"):
        load_signing_key(settings.signing_key_file)


def test_the_thumbprint_is_the_one_of_rfc_8037() -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    raw = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    assert (
        public_jwk(Ed25519PrivateKey.from_private_bytes(raw))["kid"]
        == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    )


def test_the_lock_is_held_by_one_and_names_the_holder(tmp_path: Path) -> None:
    first, second = StackLock(tmp_path), StackLock(tmp_path)
    first.take("http://here")
    with pytest.raises(AlreadyRunning, match=rf"pid {os.getpid()}, http://here"):
        second.take("http://there")
    first.release()
    second.take("http://there")
    assert second.holder().url == "http://there"
    second.release()


def test_a_record_is_replaced_as_a_whole_and_private(tmp_path: Path) -> None:
    file = tmp_path / "stack.json"
    file.write_text("old")
    file.chmod(0o644)
    write_private(file, "new")
    assert file.read_text() == "new"
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_every_byte_of_a_child_is_read_and_long_lines_are_cut() -> None:
    async def read(raw: bytes) -> list[str]:
        output, written = os.pipe()
        found: list[str] = []
        reading = asyncio.create_task(pump(output, found.append))
        await asyncio.to_thread(_write, written, raw)
        await reading
        return found

    long = b"x" * (LINE_BYTES_MAX * 40)
    lines = asyncio.run(read(b"one\n\xff\ntwo " + long + b"\nthree\nlast"))
    assert [lines[0], lines[3], lines[4]] == ["one", "three", "last"]
    assert lines[2].startswith("two x")
    assert lines[2].endswith("[cut]")
    assert len(lines[2]) < LINE_BYTES_MAX + 10


def _write(descriptor: int, raw: bytes) -> None:
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(raw)


def test_a_child_cannot_draw_on_the_terminal() -> None:
    stream = io.StringIO()
    Lines(stream, colour=False).tell("web", "\x1b[2Jgone\x07\x9b1mbold\r\nnext")
    assert stream.getvalue() == "web        | [2Jgone1mboldnext\n"


def test_a_line_in_json_is_put_into_words() -> None:
    stream = io.StringIO()
    said = {"event": "wake.acked", "level": "error", "timestamp": "2026-01-02T03:04:05.678901Z", "wake": "w1"}
    Lines(stream, colour=False).tell("worker", json.dumps(said | {"exception": "Traceback\n  last"}))
    Lines(stream, colour=False).tell("worker", '{"no": "event"}')
    Lines(stream, colour=False, raw=True).tell("worker", json.dumps(said))
    assert stream.getvalue().splitlines() == [
        "worker     | 03:04:05.678 ERROR wake.acked wake=w1",
        "worker     |     Traceback",
        "worker     |       last",
        'worker     | {"no": "event"}',
        f"worker     | {json.dumps(said)}",
    ]


def test_a_listening_socket_is_seen_without_a_call(tmp_path: Path) -> None:
    short = default_run_dir(tmp_path)
    short.mkdir(mode=0o700, parents=True)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(short / "a b.sock"))
            assert not unix_listens(short / "a b.sock")
            server.listen()
            assert unix_listens(short / "a b.sock")
            assert not unix_listens(short / "b.sock")
        assert not unix_listens(short / "a b.sock")
    finally:
        shutil.rmtree(short)


def test_a_closed_terminal_stops_nothing() -> None:
    stream = io.StringIO()
    lines = Lines(stream, colour=True)
    stream.close()
    lines.tell("web", "nobody reads this")


def test_each_service_runs_the_published_command(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    commands = service_commands()
    services = stack_services(settings, {}, FlowerDoor())
    for service in services:
        published = commands[service.name]
        argv = service.argv()
        assert argv[0] == sys.executable
        assert list(argv[1 : len(published)]) == published[1:]
    assert [*commands] == [
        *("postgres", "broker", "migrate", "web", "worker", "host-local", "beat-0", "beat-1", "flower")
    ]


def test_flower_takes_another_port_when_its_own_is_taken_and_only_its_own_login_counts() -> None:
    door = FlowerDoor()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        door.port = taken = other.getsockname()[1]
        assert f"--port={taken}" not in door.arguments()
        assert door.port != taken
    assert f"--port={door.port}" in door.arguments()
    assert not door.answers()
    assert door.password not in "".join(door.arguments())


def test_services_wait_only_for_services_there_are(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    servers: list[dict[str, Server]] = [{}]
    for given in servers:
        services = stack_services(settings, given, FlowerDoor())
        names = [service.name for service in services]
        for index, service in enumerate(services):
            assert {*service.needs, *service.after} <= set(names[:index]), service.name


def test_the_help_lists_the_commands_without_loading_them() -> None:
    program = (
        "import sys\n"
        "from bridge.cli.app import run\n"
        "status = run(['--help'])\n"
        "loaded = {'celery', 'sqlalchemy', 'flask', 'httpx', 'bridge.stack.up'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {loaded}' if loaded else status)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=clean_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "down" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["nonsense"], 2), (["up", "--port", "x"], 2), (["down", "--bogus"], 2), ([], 2)],
)
def test_a_wrong_command_line_is_status_2(arguments: list[str], status: int) -> None:
    command = [sys.executable, "-m", "bridge.cli.app", *arguments]
    done = subprocess.run(command, env=clean_environment(), capture_output=True, check=False)
    assert done.returncode == status


def test_a_refusal_is_one_line_or_one_object(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bridge.cli.app", "up", "--data", str(tmp_path), "--policy", "/nowhere"]
    told = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, check=False)
    assert (told.returncode, told.stderr.count("\n")) == (1, 1)
    as_json = subprocess.run(
        [*command, "--json"], env=clean_environment(), capture_output=True, text=True, check=False
    )
    assert json.loads(as_json.stderr)["error"]["code"] == "INVALID_ARGUMENT"


def test_every_command_in_the_table_can_be_loaded_when_its_module_is_there() -> None:
    there = {info.name for info in build().registered_commands}
    for name in there & set(COMMANDS):
        build(name)
