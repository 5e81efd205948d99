"""What `make audit-deps` says of pip-audit's answer: a package nobody was asked about is never called safe."""

from pathlib import Path

from tests.security.audit_deps import ask, judge

CLEAN = {"name": "flask", "version": "3.1.3", "vulns": []}
BAD = {"name": "jinja2", "version": "3.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3.1.6"]}]}
UNKNOWN = {"name": "amqp", "skip_reason": "Dependency not found on PyPI and could not be audited: amqp"}


def test_a_known_vulnerability_fails_with_its_name_and_its_cure() -> None:
    lines, failed = judge("x.lock", {"dependencies": [CLEAN, BAD]})
    assert failed
    assert lines[0] == "x.lock: jinja2 3.0: PYSEC-1, mended in 3.1.6"
    assert lines[1] == "x.lock: 2 of 2 packages asked about, 1 known vulnerabilities"


def test_what_nobody_knows_of_is_listed_and_does_not_fail() -> None:
    lines, failed = judge("x.lock", {"dependencies": [CLEAN, UNKNOWN]})
    assert not failed
    assert lines == [
        "x.lock: 1 of 2 packages asked about, 0 known vulnerabilities",
        "x.lock: SKIPPED, the service knows nothing of 1: amqp",
    ]


def test_no_network_is_said_and_does_not_fail(tmp_path: Path) -> None:
    lines, failed = judge("x.lock", ask(str(tmp_path / "pip-audit"), tmp_path / "x.lock"))
    assert not failed
    assert lines[0].startswith("x.lock: SKIPPED, nothing was asked: ")
