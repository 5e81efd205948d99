"""The parts of `bridge attach` by themselves: no tmux, no wrapper."""

import os
import pty
import random
import sys
from pathlib import Path

import pytest

from bridge.terminal.tmux_hold import held_keys
from bridge.terminal.tmux_pane import Look, Pane, ServerClock, Tmux
from bridge.terminal.tmux_process import Tenant, leader, modes_of, named, processes
from bridge.terminal.tmux_relay import frame_of
from tests.terminal.world import program


def look(*rows: str, cursor: tuple[int, int] = (0, 0), cols: int = 20, alternate: bool = False) -> Look:
    return Look(
        pane_pid=1,
        dead=False,
        in_mode=False,
        input_off=False,
        alternate=alternate,
        cursor=cursor,
        cursor_visible=True,
        size=(cols, 6),
        tty="",
        cursor_keys=False,
        bracketed=None,
        session_id="$0",
        now=0,
        viewers=(),
        rows=rows,
    )


def test_a_frame_has_the_panes_rows_styles_and_cursor() -> None:
    frame = frame_of(look("\x1b[1mfirst\x1b[0m", "\x1b[2m> dim\x1b[0m", "", "", "", "", cursor=(2, 1)))
    assert (frame.left, frame.right.rstrip(), frame.above, frame.cursor) == ("> ", "dim", ("first",), (2, 1))
    assert frame.style(0, 0) == {"bold"}
    assert frame.style(3, 1) == {"faint"}


def test_a_wrapped_line_is_one_line_again() -> None:
    long = "> a line that is wider than its pane"
    frame = frame_of(look("before", long, "", "", "", cursor=(16, 2)))
    assert frame.left + frame.right.rstrip() == long
    assert frame.above == ("before",)


def test_a_full_screen_is_not_scrolled() -> None:
    frame = frame_of(look(*(f"{row} {'x' * 18}" for row in range(6)), cursor=(19, 5)))
    assert frame.above[0] == "0 " + "x" * 18
    assert (frame.left + frame.right).rstrip() == "5 " + "x" * 18


def test_letters_of_a_width_of_their_own_do_not_move_the_rows() -> None:
    frame = frame_of(look("\u276f ⏳🤦🏽‍♂️ é", *[""] * 4, "last", cursor=(4, 5)))
    assert frame.left == "last"


def test_the_alternate_screen_is_told() -> None:
    assert frame_of(look("a", *[""] * 5, alternate=True)).alternate
    assert not frame_of(look("a", *[""] * 5)).alternate


@pytest.mark.parametrize("name", ["", "5", "%", "%5;kill-server", "%5 ", "%-1", "s:0.0", "{last}", "%5\n"])
def test_only_a_panes_id_names_a_pane(name: str) -> None:
    with pytest.raises(ValueError, match="no pane's id"):
        Pane(Tmux({}), name)


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "\x1b[201~", "a\x9b31m", "a\x7f", "\x00"])
def test_a_text_with_controls_never_reaches_a_pane(text: str) -> None:
    with pytest.raises(ValueError, match="no control characters"):
        Pane(Tmux({}), "%1").paste(text, look())


def test_every_key_is_held_as_the_bytes_that_a_terminal_sends() -> None:
    held = held_keys(cursor_keys=False)
    assert all(held[chr(code)] == chr(code) for code in range(0x21, 0x7F))
    assert (held["C-a"], held["C-c"], held["M-x"], held["Enter"]) == ("\x01", "\x03", "\x1bx", "\r")
    assert (held["Up"], held_keys(cursor_keys=True)["Up"]) == ("\x1b[A", "\x1bOA")


def test_the_servers_clock_is_never_thought_to_be_later_than_it_is() -> None:
    chance = random.Random(4)
    for _ in range(200):
        ahead = chance.uniform(-1e6, 1e9)
        clock, now = ServerClock(), chance.uniform(0, 1e5)
        typed = now + ahead
        for _ in range(30):
            asked, now = now, now + chance.uniform(0.001, 0.3)
            clock.heard(int((chance.uniform(asked, now) + ahead) // 1), asked, now)
            now += chance.uniform(0.0, 0.3)
            assert clock.passed_s(int(typed // 1), now) <= now + ahead - typed + 1e-6
        assert clock.passed_s(int(typed // 1), now) >= now + ahead - typed - 2.0


def test_a_clock_that_was_set_back_is_followed() -> None:
    clock = ServerClock()
    clock.heard(1000, 1.0, 1.01)
    clock.heard(500, 2.0, 2.01)
    assert clock.passed_s(497, 2.01) == pytest.approx(2.0)


def test_a_process_is_told_by_its_programs_name_and_by_who_has_the_terminal(tmp_path: Path) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, program("line.py", f"{tmp_path}/got"))  # noqa: S606  a test's own program
    assert b"> " in os.read(terminal, 100)
    found = processes(pid)
    front = leader(found)
    assert front is not None
    assert (front.pid, front.program) == (pid, program("line.py")[1])
    assert named(found, ["line.py"]) == found
    assert named(found, ["line"]) == []
    assert Tenant(["line.py"]).look(pid).in_front
    assert Tenant([], front).look(pid).here
    assert not Tenant(["codex"]).look(pid).here
    assert modes_of(str(Path(f"/proc/{pid}/fd/0").readlink())).canonical
    os.write(terminal, b"\x04")
    os.waitpid(pid, 0)
    os.close(terminal)
    assert processes(pid) == []
    assert not Tenant([], front).look(pid).here
