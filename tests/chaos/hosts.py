"""Two hosts, one cut off under load: who waits, who goes elsewhere, when its runs are dead, what the other notices.

Rules of this file:

- What is promised is judged by /proc and by the agents' own ledger, from outside; the API is asked only for reasons.
- The first cut is as long as the promise says (60 s); those that are compared with healthy times of the same length
  are shorter, but longer than a host's term.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any

from tests.chaos.hosts_world import World, two_hosts
from tests.chaos.lives import Life, boot_clock, overlaps
from tests.chaos.network import why_not
from tests.chaos.stack import StackFailed, wait_until

TERM_S = 20.0
DEAD_S_MAX = TERM_S
"""From a host's last sign of life: its runs are dead by then."""
MOVED_S = TERM_S + 8.0
"""When its wakes have moved or wait: the tick that looks for hosts which are gone comes every 5 s."""
FIRST_CUT_S = 60.0
CUT_S = 30.0
PAIRS = 5
RATIO_MAX = 1.5
STOPPED_S = 40.0
PAUSE_S = (0.2, 0.8)
RECOVER_S = 90.0

Say = Callable[[str], None]


@dataclass
class Account:
    """What was seen; `broken` lists every promise that did not hold, `skipped` says why nothing was tried."""

    cuts: list[dict[str, Any]] = field(default_factory=list)
    pairs: list[dict[str, Any]] = field(default_factory=list)
    ratio: dict[str, float] = field(default_factory=dict)
    same_name: str = ""
    stopped: dict[str, Any] = field(default_factory=dict)
    read: dict[str, int] = field(default_factory=dict)
    runs: dict[str, int] = field(default_factory=dict)
    wakes: dict[str, int] = field(default_factory=dict)
    longest_look_s: float = 0.0
    skipped: str | None = None
    broken: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Size:
    """How much of it."""

    stuck: int = 2
    mobile: int = 4
    settled: int = 3
    quick: int = 4
    live: bool = True
    first_cut_s: float = FIRST_CUT_S
    cut_s: float = CUT_S
    pairs: int = PAIRS
    stopped_s: float = STOPPED_S


SMALL = Size(stuck=1, mobile=1, settled=1, quick=1, live=False, first_cut_s=30.0, pairs=0, stopped_s=0.0)
"""What fits into CI: one cut, a little longer than the term."""


def chaos_hosts(size: Size, *, seed: int, say: Say) -> Account:
    """The whole story; an account that says why it was skipped, where there can be no two machines."""
    account = Account(skipped=why_not())
    if account.skipped:
        say(f"two hosts: skipped, because {account.skipped}")
        return account
    with two_hosts(seed) as world:
        _people(world, size)
        for driver in world.drivers.values():
            driver.start()
        _wait_for_all(world, boot_clock(), "everybody has read under load")
        say(f"two hosts on machines of their own, {len(world.drivers)} agents under load, all read")
        _cut(world, size.first_cut_s, account, say)
        for n in range(size.pairs):
            _pair(world, n, size.cut_s, account, say)
        if size.pairs:
            _ratio(account, say)
        _same_name(world, account, say)
        if size.stopped_s:
            _stopped(world, size.stopped_s, account, say)
        _settle(world, account, say)
    return account


def _people(world: World, size: Size) -> None:
    kinds = (("stuck", size.stuck, "a"), ("mobile", size.mobile, "a"), ("settled", size.settled, "a"))
    for kind, count, host in (*kinds, ("quick", size.quick, "b")):
        for n in range(count):
            world.add(f"{kind}-{n}", host=host, preset=kind, pause_s=PAUSE_S)
    if size.live:
        for host in ("a", "b"):
            world.add(f"live-{host}", host=host, preset=None, pause_s=PAUSE_S)


def _wait_for_all(world: World, since: float, what: str) -> dict[str, float]:
    """Everybody reads something that was posted after `since`; how long after that each did so."""

    def late() -> list[str]:
        return [name for name in world.drivers if not world.reads_since(name, since)]

    try:
        wait_until(what, lambda: not late(), RECOVER_S, 0.2)
    except StackFailed as error:
        stories = "\n".join(world.story(name) for name in late())
        raise StackFailed(f"{error}\n{stories}") from error
    return {name: _first_after(world, name, since) - since for name in world.drivers}


def _first_after(world: World, name: str, since: float) -> float:
    return min(sample.read_at for sample in world.drivers[name].samples if sample.posted_at >= since)


# --- a cut --------------------------------------------------------------------------------------------------


def _cut(world: World, seconds: float, account: Account, say: Say) -> tuple[float, float]:
    """Cut a off for so long, then wait until all is well again. Gives when that began and ended."""
    posted = _get_stuck(world)
    at = boot_clock()
    world.network.cut("a")
    wait_until("its wakes were seen to", lambda: boot_clock() > at + min(seconds - 1, MOVED_S), seconds)
    waiting = _waiting(world)
    wait_until("the cut is over", lambda: boot_clock() >= at + seconds, seconds + 5)
    there = world.lives.on("a", 0.5)
    world.held.unlink()
    world.network.mend("a")
    back = boot_clock()
    wait_until("a is seen again", lambda: world.host("a")["seen"], RECOVER_S)
    seen_s = boot_clock() - back
    after = _wait_for_all(world, back, "everybody has read again")
    _wait_for_stuck(world, posted)
    told = {
        "cut_s": round(back - at, 1),
        "runs_of_a_at_the_cut": len(
            {life.run for life in world.lives.all() if life.host == "a" and life.began < at < life.seen}
        ),
        **_deaths(world, at, back, account),
        "waits_while_cut": waiting,
        "seen_again_s": round(seen_s, 1),
        "term": world.host("a")["term"],
        "all_read_again_s": round(max(after.values()), 1),
        "of_a_read_again_s": {
            name: round(taken, 1) for name, taken in after.items() if name.startswith(("settled", "live-a"))
        },
    }
    account.cuts.append(told)
    if there:
        account.broken.append(f"{len(there)} processes lived on a at the end of the cut")
    _check_waits(waiting, account)
    say(_in_words(told))
    return at, back


def _in_words(told: dict[str, Any]) -> str:
    return (
        f"a cut off for {told['cut_s']:.0f} s with {told['runs_of_a_at_the_cut']} runs: the last of them dead after "
        f"{told['dead_after_s']} s, the first elsewhere begun after {told['elsewhere_after_s']} s; back: seen after "
        f"{told['seen_again_s']} s, all read after {told['all_read_again_s']} s; waits meanwhile: "
        f"{told['waits_while_cut']}"
    )


def _get_stuck(world: World) -> dict[str, tuple[int, float]]:
    """Runs on a that live until they are ended, and have read nothing; the messages that they were started for."""
    began = boot_clock()
    world.held.touch()
    posted = {name: driver.post() for name, driver in world.stuck.items()}

    def there() -> bool:
        return set(posted) <= {life.agent for life in world.lives.on("a") if life.began > began}

    wait_until("runs on a that would not end", there, 60)
    return posted


def _wait_for_stuck(world: World, posted: dict[str, tuple[int, float]]) -> None:
    for name, (seq, at) in posted.items():
        read = partial(world.stuck[name].was_read, seq, at)
        wait_until(f"what {name} was started for on a is read", read, RECOVER_S)


def _waiting(world: World) -> dict[str, str]:
    """What the wakes of a's agents wait for now, and on which host."""
    found = {}
    for wake in world.wakes(state="pending"):
        if not wake["agent_id"].startswith("quick"):
            found[wake["agent_id"]] = str(wake["reason"])
    return found


def _check_waits(waiting: dict[str, str], account: Account) -> None:
    for name, reason in waiting.items():
        if name.startswith(("settled", "live-a")) and reason != "host":
            account.broken.append(
                f"{name} can be woken on a alone, and waits for {reason} while a is cut off"
            )


def _deaths(world: World, at: float, back: float, account: Account) -> dict[str, Any]:
    lives = world.lives.all()
    dead = max(
        (life.seen for life in lives if life.host == "a" and life.began < back and life.seen > at - 1),
        default=at,
    )
    begun = [life.began for life in lives if _moved(life) and at < life.began < back]
    if dead - at > DEAD_S_MAX:
        account.broken.append(f"a run of a lived for {dead - at:.1f} s after the cut")
    if back - at > MOVED_S and not begun:
        account.broken.append("nobody went elsewhere, although the policy names a host")
    return {
        "dead_after_s": round(dead - at, 2),
        "elsewhere_after_s": round(min(begun) - at, 2) if begun else None,
        "went_elsewhere": len({life.agent for life in lives if _moved(life) and at < life.began < back}),
    }


def _moved(life: Life) -> bool:
    return life.agent.startswith(("mobile", "stuck")) and life.host == "b"


# --- what the other host notices ----------------------------------------------------------------------------


def _pair(world: World, n: int, seconds: float, account: Account, say: Say) -> None:
    began = boot_clock()
    wait_until("a healthy while is over", lambda: boot_clock() >= began + seconds, seconds + 5)
    healthy = (began, boot_clock())
    cut = _cut(world, seconds, account, lambda _: None)
    told: dict[str, Any] = {}
    for kind in ("quick", "live-b"):
        values = [world.samples(*span, kind) for span in (healthy, cut)]
        if all(values):
            first, second = (median(found) * 1000 for found in values)
            told[kind] = {
                "healthy": {"n": len(values[0]), "p50_ms": round(first, 1)},
                "cut": {"n": len(values[1]), "p50_ms": round(second, 1)},
                "ratio": round(second / first, 3),
            }
    account.pairs.append(told)
    words = ", ".join(
        f"{kind} {one['healthy']['p50_ms']} -> {one['cut']['p50_ms']} ms" for kind, one in told.items()
    )
    say(f"pair {n + 1}, {seconds:.0f} s each: post to read on b, a healthy -> a cut off: {words}")


def _ratio(account: Account, say: Say) -> None:
    for kind in ("quick", "live-b"):
        ratios = [pair[kind]["ratio"] for pair in account.pairs if kind in pair]
        if ratios:
            account.ratio[kind] = round(median(ratios), 3)
            say(f"median ratio of {len(ratios)} pairs, {kind}: {account.ratio[kind]} (at most {RATIO_MAX})")
            if account.ratio[kind] > RATIO_MAX:
                account.broken.append(f"b is {account.ratio[kind]} times slower while a is cut off ({kind})")


# --- the rest -----------------------------------------------------------------------------------------------


def _same_name(world: World, account: Account, say: Say) -> None:
    """A second machine with b's name is refused while b is there."""
    data = world.folder / "second"
    command = world.host_command("b", data, world.token_file("host:b", "host"))
    done = subprocess.run(
        [*world.network.on("a"), *command],
        env=world.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    account.same_name = (done.stderr.strip() or done.stdout.strip())[-400:]
    say(f"a second machine named b: exit {done.returncode}, {account.same_name!r}")
    if done.returncode != 1 or "held by another machine" not in account.same_name:
        account.broken.append(
            f"a second machine of the same name was not refused clearly: exit {done.returncode}"
        )


def _stopped(world: World, seconds: float, account: Account, say: Say) -> None:
    """The host's worker is stopped, not killed: its shims end its runs, and what it does afterwards is fenced."""
    posted = _get_stuck(world)
    worker = world.processes["host-a"]
    at = boot_clock()
    worker.send_signal(signal.SIGSTOP)
    try:
        wait_until("it was stopped long enough", lambda: boot_clock() >= at + seconds, seconds + 5)
        there = world.lives.on("a", 0.5)
        world.held.unlink()
    finally:
        worker.send_signal(signal.SIGCONT)
    back = boot_clock()
    after = _wait_for_all(world, back, "everybody has read again")
    _wait_for_stuck(world, posted)
    account.stopped = {
        "stopped_s": round(back - at, 1),
        **_deaths(world, at, back, account),
        "all_read_again_s": round(max(after.values()), 1),
    }
    if there:
        account.broken.append(f"{len(there)} processes of a's runs lived while its worker was stopped")
    told = account.stopped
    say(
        f"a's worker stopped for {seconds:.0f} s: its runs dead after {told['dead_after_s']} s, the first elsewhere "
        f"after {told['elsewhere_after_s']} s; all read {told['all_read_again_s']} s after it went on"
    )


def _settle(world: World, account: Account, say: Say) -> None:
    world.quiet.set()
    for driver in world.drivers.values():
        if not driver.join(RECOVER_S):
            account.broken.append(f"{driver.name} did not read its last message")
    for driver in (*world.drivers.values(), *world.stuck.values()):
        account.read[driver.name] = len(driver.samples)
        if len(driver.samples) != driver.posted:
            account.broken.append(f"{driver.name} read {len(driver.samples)} of {driver.posted}")
    wait_until("every run has ended", lambda: not any(world.host(name)["runs"] for name in ("a", "b")), 30)
    for state in ("acked", "already_active", "failed", "cancelled", "pending"):
        account.wakes[state] = len(world.wakes(state=state))
    for wake in world.wakes(state="failed"):
        account.broken.append(f"a wake failed although every agent reads: {wake['agent_id']}: {wake['why']}")
    _stop_hosts(world, account)
    lives = world.lives.all()
    account.runs = {host: len({life.run for life in lives if life.host == host}) for host in ("a", "b")}
    account.broken += overlaps(lives)
    account.longest_look_s = round(world.lives.longest_gap_s, 2)
    left = [life for life in lives if boot_clock() - life.seen < 0.3]
    account.broken += [f"a process of run {life.run} is left on {life.host}" for life in left]
    say(
        f"load over: {sum(account.read.values())} messages, each read; runs {account.runs}, wakes {account.wakes}"
    )


def _stop_hosts(world: World, account: Account) -> None:
    for name in ("host-a", "host-b"):
        began = boot_clock()
        world.stop_process(name)
        status = world.processes[name].returncode
        if status:
            account.broken.append(f"{name} ended with {status} {boot_clock() - began:.0f} s after TERM")
    try:
        wait_until("nothing is left", lambda: not world.lives.on("a") + world.lives.on("b"), 10)
    except StackFailed as error:
        account.broken.append(str(error))
