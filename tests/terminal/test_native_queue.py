"""A program's queue: what its command says is believed as far as it goes, and nothing is ever waited for."""

import sys
import time
from pathlib import Path

from bridge.terminal.live import Live
from bridge.terminal.native_queue import NativeQueue
from bridge.terminal.terms import Queued
from tests.stack.running import until
from tests.terminal.world import lives

NAME = "01a2"
LINE = "Wakebridge: 1 new message"


def queue(code: str, timeout_s: float = 20.0, **environment: str) -> NativeQueue:
    argv = ("{program}", "-c", code, "{native_id}", "--message", "{line}")
    live = Live(queue_argv=argv, queue_timeout_s=timeout_s, queue_refused=("no such session",))
    return NativeQueue(live, sys.executable, environment)


def answer(queue: NativeQueue) -> Queued:
    return until(lambda: queue.poll(time.monotonic()), "the queue's answer")


def test_the_line_is_one_argument_and_the_environment_the_agents(tmp_path: Path) -> None:
    told = tmp_path / "told"
    code = f"import sys, os; open({str(told)!r}, 'w').write(repr((sys.argv[1:], os.environ.get('HERE'))))"
    asked = queue(code, HERE="yes")
    line = f"{LINE}; $(touch x) 'quoted' {{native_id}}"
    asked.give(NAME, line, time.monotonic())
    assert answer(asked) is Queued.QUEUED
    assert told.read_text() == repr(([NAME, "--message", line], "yes"))
    assert not asked.under_way


def test_refused_is_only_what_the_program_says_so() -> None:
    for code, result in (
        ("raise SystemExit('error: no such session')", Queued.REFUSED),
        ("raise SystemExit('error: the disk is full')", Queued.UNKNOWN),
        ("print('no such session')", Queued.QUEUED),
    ):
        asked = queue(code)
        asked.give(NAME, LINE, time.monotonic())
        assert answer(asked) is result, code


def test_a_program_that_is_not_there_has_queued_nothing() -> None:
    asked = NativeQueue(Live(queue_argv=("{program}",)), "/no/such/program", {})
    asked.give(NAME, LINE, 0.0)
    assert asked.poll(0.0) is Queued.REFUSED


def test_no_value_becomes_an_option() -> None:
    for name, line in (("--all", LINE), (NAME, "--help"), (None, LINE)):
        asked = queue("pass")
        asked.give(name, line, 0.0)
        assert asked.poll(0.0) is Queued.REFUSED


def test_one_that_hangs_is_ended_and_what_it_did_is_not_known(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    code = f"import os, signal; open({str(told)!r}, 'w').write(str(os.getpid())); signal.pause()"
    asked = queue(code)
    began = time.monotonic()
    asked.give(NAME, LINE, began)
    pid = int(until(lambda: told.read_text() if told.exists() else None, "the queue's program"))
    assert asked.poll(began) is None
    assert asked.poll(began + 20.0) is Queued.UNKNOWN
    assert not lives(pid)


def test_much_output_does_not_hold_it_up() -> None:
    asked = queue("print('x' * 10_000_000)")
    asked.give(NAME, LINE, time.monotonic())
    assert answer(asked) is Queued.QUEUED
