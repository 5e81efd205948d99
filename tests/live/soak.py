"""One run: a bridge, the cells side by side, wakes one after the other in each, and what came of them.

Rules of this file:

- Everything is in a network with only `lo`: who starts it has entered that.
- A wake follows when the one before it has ended: so each is a wake of its own, and none can hide in another.
- At the end the human rests, and what he kept from being read is retried by an operator, as a person would.
"""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from bridge.client import Client, StackOperator
from bridge.core.states import WAKE_FINAL
from tests.chaos.stack import Stack, running_stack, wait_until
from tests.live.account import Account, Evidence, Hold, Ran, Turn, Wake, account
from tests.live.cells import Cell, Started, habits, wall, write_typed_preset
from tests.live.human import Human

LONGEST_S = 20
POLICY: dict[str, Any] = {
    "live": {"tries": 3, "accept_timeout_s": 15, "read_timeout_s": 30},
    "resume": {"tries": 0, "accept_timeout_s": 15, "read_timeout_s": 30},
    "spawn": {"tries": 0, "accept_timeout_s": 15, "read_timeout_s": 30},
    "defer_quiet_s": 2,
    "defer_recheck_s": 1,
    "defer_s_max": LONGEST_S,
    "recheck_s": 1,
    "backoff_s_initial": 1,
    "wake_life_s_max": 240,
    "wakes_per_minute_max": 10_000,
    "turns_max": 1_000_000,
    "breaker_s_initial": 1,
    "breaker_s_max": 1,
    "listen_grace_s": 1,
}
WAKE_S = 260.0
SEATED_S = 60.0
READ_S = 120.0
LOOK_S = 0.25
PAUSE_S = (0.2, 1.5)
NOT_TYPED = frozenset({"not_touched", "gone", "deferred"})


@dataclass
class Outcome:
    """One cell's account, and all that it was taken from."""

    cell: Cell
    account: Account
    evidence: Evidence
    seconds: float


def soak(
    cells: Sequence[Cell], wakes: int, *, seed: int, say: Callable[[str], None], folder: Path | None = None
) -> list[Outcome]:
    """So many wakes into each client, spread over its cells. All cells at once."""
    shares = spread(cells, wakes)
    with ExitStack() as stack:
        base = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wbl-", dir="/tmp")))
        bridge = stack.enter_context(running_stack(POLICY))
        write_typed_preset(bridge.data)
        done: list[Outcome] = []
        lost: list[BaseException] = []

        def work(cell: Cell) -> None:
            try:
                chance = random.Random(f"{seed} {cell.name}")
                done.append(_Run(bridge, cell, base / cell.name, chance, say).play(shares[cell]))
            except BaseException as error:  # noqa: BLE001  told below, when the others have ended
                say(f"{cell.name}: {error!r}")
                lost.append(error)

        threads = [threading.Thread(target=work, args=(cell,), name=cell.name) for cell in cells]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if lost:
            raise lost[0]
    return sorted(done, key=lambda one: cells.index(one.cell))


def spread(cells: Sequence[Cell], wakes: int) -> Mapping[Cell, int]:
    """How many of its client's wakes each cell gets: as even as can be."""
    shares: dict[Cell, int] = {}
    for client in {cell.client for cell in cells}:
        own = [cell for cell in cells if cell.client == client]
        shares |= {cell: wakes // len(own) + (n < wakes % len(own)) for n, cell in enumerate(own)}
    return shares


class _Run:
    """One cell, from its start to its account."""

    def __init__(
        self, bridge: Stack, cell: Cell, folder: Path, chance: random.Random, say: Callable[[str], None]
    ) -> None:
        self._cell, self._chance, self._say = cell, chance, say
        self._operator = Client(bridge.url, StackOperator(bridge.data))
        self._started = Started(cell, folder, bridge.data)
        self._wakes: list[str] = []

    def play(self, wakes: int) -> Outcome:
        """Start, wake, drain, account."""
        began = time.monotonic()
        with self._operator, self._started as started:
            self._thread = self._open_thread()
            wait_until(f"{self._cell.name} holds its seat", self._seated, SEATED_S)
            name = self._cell.name.replace("-", " ")
            human = Human(name.split()[0], started.terminal, habits(self._cell), self._chance, LONGEST_S)
            human.start()
            try:
                for number in range(wakes):
                    self._wake(number)
                    time.sleep(self._chance.uniform(*PAUSE_S))  # the writer's own pace
            finally:
                human.stop()
            unread = self._drain()
            self._farewell(human)
            evidence = self._evidence(human, unread)
        return Outcome(self._cell, account(evidence), evidence, time.monotonic() - began)

    # --- wakes --------------------------------------------------------------------------------------------

    def _open_thread(self) -> str:
        members = [{"agent_id": self._cell.name}, {"agent_id": "operator"}]
        return str(self._operator.create_thread(f"live {self._cell.name}", members)["thread_id"])

    def _seated(self) -> bool:
        agents = self._operator.agents()["items"]
        return any(one["agent_id"] == self._cell.name and one["seat_attached"] for one in agents)

    def _wake(self, number: int) -> None:
        answer = self._operator.post(self._thread, f"news {number}", to=[self._cell.name])
        wake_id = str(answer["wakes"][0]["wake_id"])
        if wake_id not in self._wakes:
            self._wakes.append(wake_id)
        ended = self._ended(wake_id)
        self._say(f"{self._cell.name} {number + 1}: {ended['state']} ({ended.get('why') or 'read'})")

    def _ended(self, wake_id: str) -> dict[str, Any]:
        def over() -> dict[str, Any] | None:
            wake = self._operator.wake(wake_id)
            return wake if wake["state"] in WAKE_FINAL else None

        found: dict[str, Any] = wait_until(f"the end of {wake_id}", over, WAKE_S, LOOK_S)
        return found

    def _unread(self) -> int:
        people = self._operator.thread(self._thread)["participants"]
        return int(next(one["unread"] for one in people if one["agent_id"] == self._cell.name))

    def _drain(self) -> int:
        """Nobody is at the terminal any more: whatever is unread is retried. How much stays unread."""
        ends = time.monotonic() + READ_S
        while (unread := self._unread()) and time.monotonic() < ends:
            newest = self._operator.wakes(agent=self._cell.name, thread=self._thread)["items"][0]
            if newest["state"] in WAKE_FINAL:
                newest = self._operator.act_on_wake(newest["wake_id"], "retry", "the human has gone")
            self._ended(newest["wake_id"])
        return unread

    def _farewell(self, human: Human) -> None:
        """One more prompt: with it comes every turn before it."""
        text = "that is all for today"
        human.say(text)
        wait_until(
            "the last prompt", lambda: any(text in one.text for one in self._started.script.turns()), 60
        )

    # --- what is known ------------------------------------------------------------------------------------

    def _evidence(self, human: Human, unread: int) -> Evidence:
        script, ahead = self._started.script, wall()
        heard = script.heard()
        ran = {}
        for dialog in human.log.dialogs:
            mark = self._started.marks / dialog.name
            marked = mark.stat().st_mtime - ahead if mark.exists() else None
            ran[dialog.name] = Ran(marked, heard.get(dialog.name))
        items = self._operator.wakes(agent=self._cell.name, thread=self._thread, limit=200)["items"]
        told = [self._told(wake["wake_id"], ahead) for wake in reversed(items)]
        return Evidence(human.log, [Turn(one.at, one.text) for one in script.turns()], told, ran, unread)

    def _told(self, wake_id: str, ahead: float) -> Wake:
        story = self._operator.explain(wake_id)
        wake, attempts = story["wake"], story["attempts"]
        tried = [one for one in attempts if one["rung"] == "live" and not one["joined"]]
        touched = [one for one in tried if one["handed_at"] or one["result"] not in NOT_TYPED]
        holds = [
            Hold(_at(step["at"]) - ahead, f"{step['reason']}: {step['why']}")
            for step in story["steps"]
            if step["from_state"] and step["to_state"] == "pending" and step["why"]
        ]
        shown = any(one["accepted_at"] for one in tried)
        # That it was read as far as its line offered proves more than any screen.
        read = wake["state"] == "acked" and bool(touched)
        by = [str(step["detail"]["by"]) for step in story["steps"] if (step["detail"] or {}).get("by")]
        return Wake(
            wake_id=wake_id,
            state=wake["state"],
            created=_at(wake["created_at"]) - ahead,
            ended=_at(wake["updated_at"]) - ahead,
            accepted=shown or read,
            by=by[-1] if by else "" if shown else "its reading alone",
            touched=tuple(_at(one["begun_at"]) - ahead for one in touched),
            holds=tuple(holds),
        )


def _at(told: str) -> float:
    return datetime.fromisoformat(told).timestamp()
