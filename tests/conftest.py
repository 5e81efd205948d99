"""What holds for every test: programs a test needs, and an honest word about what was skipped.

Rules of this file:

- Only marks, options and the closing summary. Fixtures that need a database are in `tests/support/fixtures.py`,
  loaded here; all others live beside the tests that use them. A test of the core reaches for none.
- The database and the broker are never a reason to skip: they come from the locked wheels.
- A skip is a debt that is printed: the program that was missing and how to get it. `--nothing-skipped`
  (CI) turns it into a failure.
"""

import shutil
from collections import defaultdict

import pytest

pytest_plugins = ["tests.support.fixtures"]

# How to get what a test may need besides Python. A program that is not in this list is a typing error.
HOW_TO_GET = {
    "tmux": "apt-get install tmux",
    "make": "apt-get install make",
    "setsid": "apt-get install util-linux",
    "psql": "apt-get install postgresql-client",
    "pg_dump": "apt-get install postgresql-client",
    "chromium": "apt-get install chromium",
    "docker": "https://docs.docker.com/engine/install/",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--nothing-skipped`: a skipped test fails the run. `--record-payloads`: what is new is recorded."""
    parser.addoption("--nothing-skipped", action="store_true", help="a skipped test fails the run (CI)")
    parser.addoption("--record-payloads", action="store_true", help="record calls that have no answer yet")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips a test marked `needs("tmux")` where there is no tmux."""
    for mark in item.iter_markers("needs"):
        unknown = [program for program in mark.args if program not in HOW_TO_GET]
        if unknown:
            pytest.fail(f"needs: say in tests/conftest.py how to get {', '.join(unknown)}")
        missing = [program for program in mark.args if shutil.which(program) is None]
        if missing:
            hints = "; ".join(f"{program} is missing: {HOW_TO_GET[program]}" for program in missing)
            pytest.skip(hints)


def skipped_by_reason(reports: list[pytest.TestReport]) -> dict[str, list[str]]:
    """Test ids by the reason they were skipped for."""
    found: dict[str, list[str]] = defaultdict(list)
    for report in reports:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        found[reason.removeprefix("Skipped: ")].append(report.nodeid)
    return found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Closes with what was not tested on this machine, and how to change that."""
    skipped = skipped_by_reason(terminalreporter.stats.get("skipped", []))
    if not skipped:
        terminalreporter.write_sep("=", "nothing was skipped")
        return
    terminalreporter.write_sep("=", "not tested on this machine", yellow=True)
    for reason, tests in sorted(skipped.items()):
        terminalreporter.write_line(f"{len(tests)} test(s): {reason}")
        for test in tests:
            terminalreporter.write_line(f"    {test}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With `--nothing-skipped`, a run that skipped ends as a failure."""
    if not session.config.getoption("--nothing-skipped"):
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and reporter.stats.get("skipped") and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
