"""A wake's story on a terminal: in the order of time, each line with the seconds since the wake's birth."""

from __future__ import annotations

from typing import Any

from bridge.cli.standing import stands
from bridge.cli.words import ago, ahead, clock, ended_words, seconds_between, span, why
from bridge.core.quoting import harmless

Json = dict[str, Any]
Moment = tuple[str, int, str]
"""When, what stands first of what happened at the same time, and the words."""
BEFORE = -1
"""What brought the wake's step about stands before it."""
EVENTS = {
    "opened": "born",
    "due": "looked at",
    "touch_allowed": "the way was free",
    "handed_over": "the hand reported",
    "joined": "another wake's line told of it too",
    "accepted": "taken by the runtime",
    "run_over": "its process has ended",
    "cursor_moved": "the agent read",
    "target_raised": "a later message is to be read too",
    "sign_of_life": "the agent, or its session, moved",
    "postponed": "something was in the way",
    "session_lost": "its session is gone",
    "cancel_asked": "cancelled",
    "triggered": "triggered by hand",
    "retried": "retried by hand",
    "forced": "forced by an operator",
}
SHOWN = {
    "record": "its own record shows the prompt",
    "hook": "its own hook told of the prompt",
    "queue": "its own queue took the prompt",
    "screen": "its screen showed that it was taken",
    "http": "its service answered that it has it",
}
"""What showed that a line was taken."""


def story_lines(story: Json) -> list[str]:
    """The whole story."""
    wake = story["wake"]
    told = [*_head(story), "", *_history(story)]
    if story["outlook"]:
        told += ["", *_ahead(story)]
    if story["receipts"]:
        told += ["", "messages", *(f"  {_receipt(one, wake['created_at'])}" for one in story["receipts"])]
    if story["notices"]:
        told += ["", "who was told", *(f"  {_notice(one)}" for one in story["notices"])]
    if story["next_wake_id"]:
        told += ["", f"it goes on in {story['next_wake_id']}"]
    elif wake["state"] in ("failed", "cancelled"):
        told += ["", f"to try again: bridge wake retry {wake['wake_id']} --reason ..."]
    return told


def _head(story: Json) -> list[str]:
    wake, now = story["wake"], story["now"]
    state = f"{wake['state']} ({wake['reason']})" if wake["state"] == "pending" else wake["state"]
    born = f"{clock(wake['created_at'])} ({ago(wake['created_at'], now)})"
    lines = [
        f"{wake['wake_id']}: {wake['agent_id']} is to read {wake['thread_id']} up to {wake['target_seq']}",
        f"  state    {state}" + (f": {why(wake['why'])}" if wake["why"] else ""),
        f"  born     {born}, policy version {wake['policy_version']}, on host {wake['host']}",
    ]
    if wake["retry_of"]:
        lines.append(f"  retry of {wake['retry_of']}")
    if story["outlook"]:
        lines.append(f"  ends     {ahead(wake['dies_at'], now)} at the latest ({clock(wake['dies_at'])})")
    else:
        lived = span(seconds_between(wake["created_at"], wake["updated_at"]))
        lines.append(f"  ended    {clock(wake['updated_at'])}, {lived} after its birth")
    return lines


# --- what happened ------------------------------------------------------------------------------------------


def _history(story: Json) -> list[str]:
    wake, steps = story["wake"], story["steps"]
    version, said = steps[0]["policy_version"] if steps else 0, ""
    moments: list[Moment] = []
    for step in steps:
        moments.append((step["at"], 0, _step(step, version, said)))
        version, said = step["policy_version"], step["why"] or said
    for number, tried in enumerate(story["attempts"], start=1):
        moments += _attempt(number, tried)
    moments.sort(key=lambda moment: moment[:2])
    return ["what happened", *(f"  {_since(wake['created_at'], at):>9}  {text}" for at, _, text in moments)]


def _since(born: str, at: str) -> str:
    return "+" + span(max(0.0, seconds_between(born, at)))


def _step(step: Json, version: int, said: str) -> str:
    moved = step["to_state"] if step["from_state"] != step["to_state"] else f"still {step['to_state']}"
    reason = f" ({step['reason']})" if step["to_state"] == "pending" else ""
    by = f" by {step['worker']}" if step["worker"] and step["event"] != "opened" else ""
    due = (step["detail"] or {}).get("due_at")
    left_s = seconds_between(step["at"], due) if reason and due else 0.0
    until = f", looks again in {span(left_s)}" if left_s > 0 else ""
    told = f": {why(step['why'])}" if step["why"] and step["why"] != said else ""
    shown = (step["detail"] or {}).get("by")
    told += f": {SHOWN.get(shown, harmless(str(shown), 64))}" if shown else ""
    policy = f" [policy version {step['policy_version']}]" if step["policy_version"] != version else ""
    return f"{EVENTS.get(step['event'], step['event'])} -> {moved}{reason}{by}{until}{told}{policy}"


def _attempt(number: int, tried: Json) -> list[Moment]:
    mark = f"    try {number}"
    joined = ", another wake's" if tried["joined"] else ""
    by = f", by {tried['worker']}" if tried["worker"] else ""
    where = f"{tried['rung']} in session {tried['session_id']}{by}{joined}"
    offers = f"offers up to {tried['offered_seq']} ({tried['attempt_id']})"
    lines = [(tried["begun_at"], 1, f"{mark} begun: {where}, {offers}")]
    if tried["run"]:
        lines += _run(mark, tried["run"])
    if tried["handed_at"] and not tried["run"]:
        lines.append((tried["handed_at"], BEFORE, f"{mark} handed over"))
    if tried["accepted_at"] and not tried["run"]:
        lines.append((tried["accepted_at"], BEFORE, f"{mark} was taken"))
    over = tried["left_at"] or tried["closed_at"]
    if over:
        lines.append((over, BEFORE, f"{mark} over: {tried['result']}"))
    return lines


def _run(mark: str, run: Json) -> list[Moment]:
    where = f" on {run['host']}, pid {run['pid'] or '-'}" if run["host"] else ""
    lines = []
    if run["started_at"]:
        lines.append((run["started_at"], 1, f"{mark} process runs{where} ({run['run_id']})"))
    if run["proved_at"]:
        lines.append((run["proved_at"], BEFORE, f"{mark} process showed whose session it is"))
    if run["ended_at"]:
        lines.append((run["ended_at"], BEFORE, f"{mark} process ended: {ended_words(run)}"))
    return lines


# --- what lies ahead ----------------------------------------------------------------------------------------


def _ahead(story: Json) -> list[str]:
    view, now = story["outlook"], story["now"]
    lines = [
        "now",
        f"  waits for  {why(view['waits_for'])}",
        f"  until      {clock(view['until'])} ({ahead(view['until'], now)})",
        f"  in short   {stands(story['wake'])}",
    ]
    lines += [f"  {'sooner if' if not at else '':<9}  {why(way)}" for at, way in enumerate(view["sooner"])]
    lines += [f"  then       {why(view['next'])}", "  ladder"]
    for rung in story["ladder"]:
        word = "applies" if rung["applies"] else f"does not apply: {why(rung['why_not'])}"
        lines.append(f"    {rung['rung']:<7} {rung['tried']} of {rung['tries']} tries, {word}")
    return lines


def _receipt(one: Json, born: str) -> str:
    steps = [
        f"{name} {_since(born, one[f'{name}_at'])}"
        for name in ("offered", "accepted", "answered")
        if one[f"{name}_at"]
    ]
    how = f" ({', '.join(steps)})" if steps else ""
    return f"{one['seq']} from {one['sender_agent_id']}: {one['receipt']}{how}"


def _notice(one: Json) -> str:
    times = f" ({one['count']} times)" if one["count"] > 1 else ""
    seen = "" if one["acked_at"] is None else ", seen"
    who = "the operators" if one["audience"] == "*operators" else one["audience"]
    return f"{who}{times}{seen}: {why(one['text'])}"
