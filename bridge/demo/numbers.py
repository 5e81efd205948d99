"""The demo's policy: the same rules as in daily use, with numbers short enough to watch."""

from __future__ import annotations

from bridge.core.policy import Policy, RungLimits, to_data, validate

POLICY = Policy(
    live=RungLimits(tries=3, accept_timeout_s=2.0, read_timeout_s=8.0),
    resume=RungLimits(tries=2, accept_timeout_s=20.0, read_timeout_s=10.0),
    spawn=RungLimits(tries=1, accept_timeout_s=15.0, read_timeout_s=10.0),
    backoff_s_initial=1.0,
    backoff_s_max=4.0,
    read_extension_s_max=16.0,
    defer_quiet_s=3.0,
    defer_recheck_s=1.0,
    defer_s_max=20.0,
    recheck_s=1.0,
    seat_wait_s=5.0,
    lease_s=6.0,
    wake_life_s_max=100.0,
    listen_grace_s=1.0,
    wakes_per_minute_max=60,
    turns_max=6,
    kill_after_s=30.0,
    kill_grace_s=2.0,
    breaker_s_initial=3.0,
)
"""The lease leaves room for typing (it is given up 3 s before its end) and is what a killed worker costs."""

validate(POLICY)


def table(policy: Policy, *, columns: int = 3) -> list[str]:
    """All its numbers in as many columns; what differs from the defaults is marked."""
    usual = _flat(to_data(Policy()))
    cells = [
        f"{'*' if usual[name] != value else ' '} {name} {_figure(value)}"
        for name, value in _flat(to_data(policy)).items()
        if name != "version"
    ]
    rows = -(-len(cells) // columns)
    width = max(map(len, cells)) + 2
    return ["".join(cell.ljust(width) for cell in cells[row::rows]).rstrip() for row in range(rows)]


def _flat(data: dict[str, object]) -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in data.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": number for inner, number in value.items()}
        else:
            flat[name] = value
    return flat


def _figure(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ",".join(map(str, value)) or "-"
    return f"{value:g}" if isinstance(value, int | float) else str(value)
