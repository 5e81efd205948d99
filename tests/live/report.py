"""A run's account as a page: one row a cell, then whatever was not accepted live, and the human act that held it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bridge.core.quoting import harmless
from tests.live.account import too_few
from tests.live.human import Deed
from tests.live.soak import POLICY, Outcome

LINE_CHARS_MAX = 400
_HEADS = (
    "cell",
    "wakes",
    "accepted live",
    "put off first",
    "held by the human",
    "garbled",
    "dialogs answered",
    "lost",
    "typed twice",
    "not explained",
    "prompts",
    "dialogs",
    "seconds",
)


def broken(outcomes: Sequence[Outcome]) -> list[str]:
    """Every bound that did not hold, with the cell or client where."""
    said = [f"{one.cell.name}: {what}" for one in outcomes for what in one.account.broken]
    for client in sorted({one.cell.client for one in outcomes}):
        few = too_few([one.account for one in outcomes if one.cell.client == client])
        said += [f"{client}: {few}"] if few else []
    return said


def sections(outcomes: Sequence[Outcome], *, seed: int, seconds: float) -> dict[str, str]:
    """The sections of the report."""
    return {"Wakes into real terminals": "\n\n".join(_parts(outcomes, seed, seconds)) + "\n"}


def _parts(outcomes: Sequence[Outcome], seed: int, seconds: float) -> list[str]:
    numbers = ", ".join(f"{name} {value}" for name, value in POLICY.items() if not isinstance(value, dict))
    said = broken(outcomes)
    evidence = sum((one.account.by for one in outcomes), Counter[str]())
    words = sum((one.account.words for one in outcomes), Counter[str]())
    deeds = sum((one.account.deeds for one in outcomes), Counter[str]())
    parts = [
        f"Seed {seed}, {seconds:.0f} s in all, the cells side by side. Policy: {numbers}.",
        _table(outcomes),
        f"Evidence of those accepted: {_counted(evidence)}.",
        f"What the human did: {_counted(Counter({deed.value: deeds[deed.value] for deed in Deed}))}.",
        f"What put wakes off, look by look: {_counted(words)}.",
        "Every promise held." if not said else "**Broken:**\n\n" + _list(said),
    ]
    held = [f"{one.cell.name}: {what}" for one in outcomes for what in one.account.held]
    if held:
        parts.append(
            "Not accepted live, and the act that held it (seconds on the human's clock):\n\n" + _list(held)
        )
    return parts


def _table(outcomes: Sequence[Outcome]) -> str:
    rows = [[*_row(one), f"{one.seconds:.0f}"] for one in outcomes]
    for client in sorted({one.cell.client for one in outcomes}):
        own = [_row(one)[1:] for one in outcomes if one.cell.client == client]
        rows.append([f"**{client}**", *(str(sum(map(int, column))) for column in zip(*own, strict=True)), ""])
    lines = [_HEADS, ["---"] * len(_HEADS), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _row(one: Outcome) -> list[str]:
    told = one.account
    found = (told.held, told.garbled, told.answered, told.lost, told.twice, told.unexplained)
    counts = [told.wakes, told.accepted, told.deferred, *map(len, found), told.prompts, told.dialogs]
    return [one.cell.name, *map(str, counts)]


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common()) or "none"


def _list(said: Sequence[str]) -> str:
    return "\n".join(f"- {harmless(line, LINE_CHARS_MAX)}" for line in said)
