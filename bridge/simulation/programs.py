"""What the process of a run does: it comes up as whom it was to be or not, reads or not, works on, hangs, or ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.core.run import Proved
from bridge.core.states import Rung, SessionStatus
from bridge.simulation.engine import Park, Steps
from bridge.simulation.processes import Shim
from bridge.simulation.site import calmly

if TYPE_CHECKING:
    from bridge.simulation.people import Fleet

FATES = {
    "reads": 0.36,
    "works": 0.2,
    "slow": 0.08,
    "exits": 0.12,
    "crashes": 0.08,
    "breaks": 0.06,
    "hangs": 0.07,
    "silent": 0.06,
    "other": 0.03,
}
DEAD = {"exits": 0.6, "breaks": 0.2, "hangs": 0.1, "silent": 0.1}


def run_program(fleet: Fleet, shim: Shim) -> Steps[None]:
    """From its start until it ends by itself, or for ever."""
    rng, run = fleet.rng, shim.run
    mind = fleet.minds[run.agent_id]
    fate = rng.one_of(DEAD if mind.dead else FATES)
    fleet.site.watch.counts[f"runs that {fate}"] += 1
    shim.stubborn = rng.chance(0.35)
    yield rng.choice((0.1, 0.4, 1.2))
    if fate == "exits":
        shim.exits(rng.choice((0, 1)))
    elif fate == "other":
        shim.end("it came up as another session", fleet.site.policy.kill_grace_s)
    elif fate == "silent":
        yield from _read(fleet, shim, rng.choice((2.0, 9.0))) if not mind.dead else ()
    else:
        resumable = Rung.RESUME in fleet.site.shell.starts[run.host, run.agent_id]
        shim.tell(Proved(run.native_id, resumable))
        yield from _proven(fleet, shim, fate)
    yield Park()


def _proven(fleet: Fleet, shim: Shim, fate: str) -> Steps[None]:
    rng, think_s = fleet.rng, fleet.minds[shim.run.agent_id].habits.think_s
    if fate == "hangs":
        yield Park()
    if fate == "breaks":
        yield rng.choice((0.1, 1.0))
        shim.exits(1)
        yield Park()
    if fate == "slow":
        yield from _busy(fleet, shim, rng.randint(2, 6))
    yield from _read(fleet, shim, think_s)
    if fate == "works":
        yield from _busy(fleet, shim, rng.randint(4, 14))
    if fleet.talking and rng.chance(fleet.minds[shim.run.agent_id].answers):
        yield from fleet.post(shim.run.agent_id, answer=True)
    shim.exits(1 if fate == "crashes" else 0)


def _busy(fleet: Fleet, shim: Shim, times: int) -> Steps[None]:
    """It works for so long, and says so."""
    for _ in range(times):
        if shim.run.host not in fleet.site.store.cut_off:
            beat = fleet.site.shell.heartbeat(
                shim.run.agent_id, shim.run.session_id, SessionStatus.ACTIVE, "run"
            )
            yield from calmly(beat)
        yield 1.0


def _read(fleet: Fleet, shim: Shim, after_s: float) -> Steps[None]:
    yield after_s
    while shim.run.host in fleet.site.store.cut_off:
        yield 0.5
    yield from fleet.read(fleet.minds[shim.run.agent_id])
