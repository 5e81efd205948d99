"""What humans type at a pane while a line is on its way: held back, handed over whole, never kept for good."""

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from bridge.config import inherited_environment
from bridge.terminal.tmux_hold import HOLD_S, Hold
from bridge.terminal.tmux_pane import Pane, Tmux
from tests.terminal.tmux_world import TmuxWorld

pytestmark = pytest.mark.needs("tmux")


@pytest.fixture
def world() -> Iterator[TmuxWorld]:
    with tempfile.TemporaryDirectory(prefix="wbt-", dir="/tmp") as directory:
        made = TmuxWorld(Path(directory))
        yield made
        made.close()


def test_what_a_human_types_in_between_arrives_whole_and_after_the_line(world: TmuxWorld) -> None:
    human = world.line_agent().serve().ready().human()
    number = world.host.inject("wake-1", "the bridge's line", quiet_s=0.0)
    world.until(lambda: "the bridge's line" in world.picture())
    human.type(b"a; b'\"c $x ~{}\\ done")
    human.type(b"\r")
    human.type(b"and a second\rthird")
    answer = world.answered(number)
    assert (answer["result"], answer["enters"]) == ("accepted", 1)
    world.until(lambda: world.lines() == ["the bridge's line", "a; b'\"c $x ~{}\\ done", "and a second"])
    world.until(lambda: world.picture().rstrip().endswith("> third"))
    world.until(lambda: not world.keys_are_held())


def test_two_humans_at_one_pane_are_both_held_back(world: TmuxWorld) -> None:
    first = world.line_agent().serve().ready().human()
    world.tmux("new-session", "-d", "-t", "s", "-s", "grouped")
    second = world.human(session="grouped")
    number = world.host.inject("wake-1", "hello", quiet_s=0.0)
    world.until(lambda: "hello" in world.picture())
    assert world.keys_are_held("s")
    assert world.keys_are_held("grouped")
    first.type(b"one ")
    world.until(lambda: "one" in world.held())
    second.type(b"two\r")
    assert world.answered(number)["result"] == "accepted"
    world.until(lambda: world.lines() == ["hello", "one two"])
    world.until(lambda: not world.keys_are_held("s") and not world.keys_are_held("grouped"))


def test_the_prefix_keeps_its_meaning_while_keys_are_held(world: TmuxWorld) -> None:
    human = world.line_agent().serve().ready().human()
    number = world.host.inject("wake-1", "hello", quiet_s=0.0)
    world.until(world.keys_are_held)
    human.type(b"\x02[")
    answer = world.answered(number)
    assert answer["result"] in {"unverified", "stranded", "not_touched", "accepted"}
    world.until(lambda: world.tmux("display-message", "-p", "-t", world.pane_id, "#{pane_in_mode}") == "1")
    human.type(b"q")
    world.until(lambda: world.tmux("display-message", "-p", "-t", world.pane_id, "#{pane_in_mode}") == "0")
    assert "^B" not in world.picture()
    assert world.lines() in ([], ["hello"])


def test_a_wrapper_killed_while_it_holds_keys_leaves_a_pane_that_works(world: TmuxWorld) -> None:
    human = world.line_agent().serve().ready().human()
    before = world.options()
    world.host.inject("wake-1", "hello", quiet_s=0.0)
    world.until(world.keys_are_held)
    os.kill(world.window.pid, signal.SIGKILL)
    human.type(b"typed meanwhile")
    world.until(lambda: "typed meanwhile" in world.held())
    world.until(lambda: not world.keys_are_held(), 4.0)
    world.until(lambda: "typed meanwhile" in world.picture())
    human.type(b" and after")
    world.until(lambda: "typed meanwhile and after" in world.picture())
    kept = [line for line in world.options().splitlines() if "-T bridge-hold" not in line]
    assert "key-table" not in "\n".join(kept)
    assert [line for line in kept if "status-right" not in line] == [
        line for line in before.splitlines() if "status-right" not in line
    ]


def test_somebody_who_types_on_and_on_loses_no_letter(world: TmuxWorld) -> None:
    human = world.line_agent().serve().ready().human()
    typed = []
    for turn in range(6):
        number = world.host.inject(f"wake-{turn}", f"line {turn}", quiet_s=0.0)
        line = f"line {turn}"
        world.until(partial(world.shows, line))
        typed.append("".join(f"{count % 1000:03}" for count in range(turn, turn + 60)))
        for letter in f"{typed[-1]}\r":
            human.type(letter.encode())
            world.pump(0.003)
        assert world.answered(number)["result"] == "accepted"
        world.until(lambda: world.lines()[-1:] == typed[-1:])
    assert world.lines() == [line for turn in range(6) for line in (f"line {turn}", typed[turn])]


def test_two_panes_of_one_session_do_not_take_each_others_hold_for_the_humans_own_options(
    world: TmuxWorld,
) -> None:
    """The active pane may be changed in the midst of a hold, by a script; keys that stay held for ever are lost."""
    human = world.line_agent().human()
    world.until(lambda: len(world.clients()) == 1)
    before = world.options()
    tmux = Tmux(inherited_environment(), world.socket)
    beside = world.tmux("split-window", "-d", "-P", "-F", "#{pane_id}", "cat")
    first, second = Hold(Pane(tmux, world.pane_id), 1), Hold(Pane(tmux, beside), 2)
    seen = Pane(tmux, world.pane_id).look()
    first.take(seen)
    second.take(seen)
    assert (first.failure, bool(second.failure)) == (None, True)
    human.type(b"kept")
    world.until(lambda: "kept" in world.held())
    second.forget()
    assert world.keys_are_held()
    first.forget()
    assert world.options() == before
    world.until(lambda: world.shows("> kept"))


def test_a_hold_lasts_as_long_as_it_is_renewed_and_three_seconds_more(world: TmuxWorld) -> None:
    """A slow program shows our line late; let go before, a human's keys would stand behind it."""
    human = world.line_agent().human()
    pane = Pane(Tmux(inherited_environment(), world.socket), world.pane_id)
    hold = Hold(pane, 1)
    hold.take(pane.look())
    human.type(b"kept")
    since, held = time.monotonic(), []

    def renewed_for_long() -> bool:
        hold.renew()
        held.append(world.keys_are_held())
        return time.monotonic() - since > HOLD_S + 2.5

    world.until(renewed_for_long)
    assert all(held)
    assert "kept" in world.held()
    world.until(lambda: not world.keys_are_held(), HOLD_S + 2.0)  # nobody renews it any more
    world.until(lambda: world.shows("> kept"))
