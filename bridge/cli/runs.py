"""`bridge runs`: list, show, kill. A run is a process that the bridge started, to resume a session or to spawn one."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any

import typer

from bridge.cli.connection import AsJson, Data, TokenPath, Url, connect, show
from bridge.cli.words import ago, clock, columns, ended_words, span, why
from bridge.client import Client

app = typer.Typer(no_args_is_help=True)
RunId = Annotated[str, typer.Argument(help="The run.")]
POLL_S = 0.5
WAIT_S_MAX = 60.0
"""Longer than any grace and the look of its host: a run that stands then is told of."""


@app.command("list")
def list_runs(
    state: Annotated[
        str | None, typer.Option(help="Only in this state: starting, running, ending, ended.")
    ] = None,
    agent: Annotated[str | None, typer.Option(help="Only of this agent.")] = None,
    host: Annotated[str | None, typer.Option(help="Only on this host.")] = None,
    wake: Annotated[str | None, typer.Option(help="Only those started for this wake.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    data: Data = None,
    url: Url = None,
    token_file: TokenPath = None,
    as_json: AsJson = False,
) -> None:
    """List runs, the newest first."""
    with connect(data, url, token_file) as client:
        page = client.runs(state=state, agent=agent, host=host, wake=wake, limit=limit)
    heads = ("RUN", "AGENT", "RUNG", "HOST", "PID", "STATE", "BEGUN", "RAN", "HOW IT STANDS")
    lines = columns(heads, [_row(run) for run in page["items"]])
    if page["next_cursor"]:
        lines.append(f"... and older ones, with --limit (now {limit}), --state, --agent or --host")
    show(page, as_json=as_json, text="\n".join(lines) if page["items"] else "no runs")


@app.command("show")
def show_run(
    run_id: RunId, data: Data = None, url: Url = None, token_file: TokenPath = None, as_json: AsJson = False
) -> None:
    """Show all that is known of a run."""
    with connect(data, url, token_file) as client:
        run = client.run(run_id)
    show(run, as_json=as_json, text="\n".join(_lines(run)))


@app.command()
def kill(
    run_id: RunId,
    reason: Annotated[str, typer.Option(help="Why.")],
    wait: Annotated[bool, typer.Option("--wait", help="Wait until no process of it lives.")] = False,
    data: Data = None,
    url: Url = None,
    token_file: TokenPath = None,
    as_json: AsJson = False,
) -> None:
    """End a run: TERM, grace, then KILL of every process of it. Its wake goes on with what the policy says next."""
    with connect(data, url, token_file) as client:
        run = client.kill_run(run_id, reason)
        if wait:
            run = _await_end(client, run)
    if run["state"] == "ended":
        text = f"ended: {run_id}, {ended_words(run)}"
    else:
        text = f"ending: {run_id} on {run['host']}: {why(run['why'])}"
    wakes = " ".join(run["wakes"])
    goes_on = f"its wake goes on (to end that too: bridge wake cancel {wakes} --reason ...)" if wakes else ""
    show(run, as_json=as_json, text="\n".join(line for line in (text, goes_on) if line))
    if wait and run["state"] != "ended":
        raise typer.Exit(1)


def _await_end(client: Client, run: dict[str, Any]) -> dict[str, Any]:
    begun, told = time.monotonic(), -1
    while run["state"] != "ended":
        waited_s = time.monotonic() - begun
        if waited_s > WAIT_S_MAX:
            print(
                f"bridge: it still stands after {span(waited_s)}; is its host {run['host']} seen?",
                file=sys.stderr,
            )
            return run
        if int(waited_s) > told:
            told = int(waited_s)
            print(f"{run['state']}, waited {told} s ...", file=sys.stderr)
        time.sleep(POLL_S)
        run = client.run(run["run_id"])
    return run


def _row(run: dict[str, Any]) -> tuple[str, ...]:
    pid = str(run["pid"] or "-")
    begun = ago(run["begun_at"], run["now"])
    ran = span(run["running_s"]) if run["started_at"] else "-"
    return (
        run["run_id"],
        run["agent_id"],
        run["rung"],
        run["host"],
        pid,
        run["state"],
        begun,
        ran,
        stands(run),
    )


def stands(run: dict[str, Any]) -> str:
    """How a run stands, in words."""
    if run["state"] == "ended":
        return ended_words(run)
    if run["state"] == "ending":
        return f"asked to end {ago(run['end_asked_at'], run['now'])}: {why(run['why'])}"
    left_s = run["kill_in_s"]
    until = f"killed in {span(left_s)}" if left_s > 0 else "to be killed now"
    return f"{'proved' if run['proved_at'] else 'not proved yet'}, {until}"


def _lines(run: dict[str, Any]) -> list[str]:
    now = run["now"]

    def when(name: str) -> str:
        return f"{clock(run[name])} ({ago(run[name], now)})" if run[name] else "-"

    rows = [
        ("state", f"{run['state']}: {stands(run)}"),
        (
            "agent",
            f"{run['agent_id']}, session {run['session_id']} (its program says {why(run['native_id'])})",
        ),
        ("started as", f"{run['rung']} by preset {run['preset']}, on host {run['host']}, slot {run['slot']}"),
        ("for", f"attempt {run['attempt_id']} of {', '.join(run['wakes']) or 'no wake'}"),
        ("process", f"pid {run['pid'] or '-'}, shim {run['shim_pid'] or '-'}, by worker {run['worker']}"),
        ("begun", when("begun_at")),
        ("process seen", when("started_at")),
        ("proved", when("proved_at")),
        ("asked to end", when("end_asked_at")),
        ("ended", when("ended_at")),
        ("killed at", clock(run["kill_at"])),
    ]
    return [run["run_id"], *(f"  {name:<13} {value}" for name, value in rows)]
