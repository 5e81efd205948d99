"""compose.yaml says the same as `bridge up`, in the words of the Compose specification.

No container engine is needed: the file is checked as data. The schema is the specification's own, as the
locked `check-jsonschema` ships it.
"""

import json
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.stack.running import clean_environment

ROOT = Path(__file__).parents[2]
SCHEMA = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
OURS = ("migrate", "web", "worker", "host-local", "beat-0", "beat-1", "flower")
SECRET_WORDS = re.compile(r"password|secret|token=|basic[-_]auth", re.IGNORECASE)


def load() -> dict[str, Any]:
    """compose.yaml as data, anchors and merges resolved."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    return found


def schema_errors(compose: dict[str, Any]) -> list[str]:
    """What the specification does not allow."""
    validator = Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(compose)]


def ours(compose: dict[str, Any]) -> dict[str, Any]:
    """The services that run our image."""
    return {name: compose["services"][name] for name in OURS}


def open_ports(compose: dict[str, Any]) -> list[str]:
    """Published ports that other machines can reach."""
    published = [str(port) for service in compose["services"].values() for port in service.get("ports", [])]
    return [port for port in published if not port.startswith("127.0.0.1:")]


def secrets_in_commands(compose: dict[str, Any]) -> list[str]:
    """Services whose argv, which `ps` shows to everybody, looks like holding a secret."""
    words = {name: " ".join(service.get("command", [])) for name, service in compose["services"].items()}
    return [name for name, line in words.items() if SECRET_WORDS.search(line) or "${" in line]


def test_compose_file_fits_the_specification() -> None:
    assert schema_errors(load()) == []


@pytest.mark.parametrize("name", OURS)
def test_each_container_runs_the_command_that_bridge_up_runs(name: str) -> None:
    from bridge.stack.services import service_commands  # noqa: PLC0415 - the other tests do without it

    assert load()["services"][name]["command"] == service_commands()[name]


def test_only_the_loopback_address_is_published() -> None:
    assert open_ports(load()) == []


def test_no_command_line_holds_a_secret() -> None:
    assert secrets_in_commands(load()) == []


def test_all_our_containers_share_one_environment() -> None:
    environments = [service["environment"] for service in ours(load()).values()]
    for name in ("DATABASE_URL", "BROKER_URL", "BRIDGE_JWKS_FILE"):
        assert len({environment[name] for environment in environments}) == 1


def test_only_web_and_the_maker_of_the_keys_see_the_signing_key() -> None:
    services = load()["services"]
    holders = [
        name for name, service in services.items() if any("signing:" in v for v in service.get("volumes", []))
    ]
    assert sorted(holders) == ["keys", "web"]


def test_only_the_host_and_the_maker_of_its_token_see_it() -> None:
    services = load()["services"]
    holders = [
        name for name, service in services.items() if any("host:/" in v for v in service.get("volumes", []))
    ]
    assert sorted(holders) == ["host-local", "keys"]
    files = {name: s.get("environment", {}).get("BRIDGE_TOKEN_FILE") for name, s in services.items()}
    assert {name for name, file in files.items() if file} == {"host-local", "keys"}
    assert files["host-local"] == files["keys"]
    assert services["host-local"]["environment"]["BRIDGE_URL"] == "http://web:8765"


def test_what_makes_the_keys_can_be_run(tmp_path: Path) -> None:
    command = load()["services"]["keys"]["command"]
    environment = clean_environment(
        BRIDGE_DATA=str(tmp_path), BRIDGE_TOKEN_FILE=str(tmp_path / "host" / "token")
    )
    subprocess.run([sys.executable, *command[1:]], env=environment, check=True)
    made = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert made == {"keys/jwks.json", "keys/metrics.token", "keys/signing.pem", "host/token"}
    assert (tmp_path / "host" / "token").stat().st_mode & 0o777 == 0o600


def test_every_process_waits_for_the_migration_and_none_for_a_healthy_broker() -> None:
    for name, service in ours(load()).items():
        conditions = {other: rule["condition"] for other, rule in service["depends_on"].items()}
        assert conditions["postgres"] == "service_healthy"
        if name != "migrate":
            assert conditions["migrate"] == "service_completed_successfully"
            assert conditions["valkey"] == "service_started"


def test_servers_are_of_the_promised_versions_and_the_broker_never_evicts() -> None:
    services = load()["services"]
    assert services["postgres"]["image"] == "postgres:18"
    assert services["valkey"]["image"] == "valkey/valkey:9"
    command = services["valkey"]["command"]
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"


def test_the_checks_of_this_file_fail_on_planted_faults() -> None:
    compose = load()
    compose["services"]["web"]["prots"] = ["8765:8765"]
    compose["services"]["web"]["ports"] = ["8765:8765"]
    compose["services"]["flower"]["command"] += ["--basic-auth=${FLOWER_BASIC_AUTH}"]
    assert any("prots" in error for error in schema_errors(compose))
    assert open_ports(compose) == ["8765:8765"]
    assert secrets_in_commands(compose) == ["flower"]


def test_the_image_is_built_from_the_hashed_lock_and_runs_without_root() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    stages = re.findall(r"^FROM \S+", dockerfile, re.MULTILINE)
    assert stages == ["FROM python:3.13-slim"] * 2
    assert "--require-hashes" in dockerfile
    assert re.search(r"^USER 10001:10001$", dockerfile, re.MULTILINE)
