"""Runs: which processes the bridge started, and ending one."""

from __future__ import annotations

from bridge.commands.end_run import end_run
from bridge.core.authority import Action
from bridge.queries.runs import get_run, list_runs
from web.paging import from_cursor, to_cursor
from web.routing import AnyCall, Call, NoBody, NoQuery, route
from web.schemas.run import KillRun, RunAnswer, RunList, RunQuery


@route("GET", "/v1/runs", Action.READ_RUNS, query=RunQuery, answer=RunList)
def list_(call: Call[NoBody, RunQuery]) -> RunList:
    """List runs, the newest first: what each was started for, how long it runs, how it ended."""
    query = call.query
    page = list_runs(
        call.deps,
        call.caller,
        state=query.state,
        agent=query.agent,
        host=query.host,
        wake=query.wake,
        limit=query.limit,
        before=from_cursor(query.cursor),
    )
    items = [RunAnswer.model_validate(run) for run in page.items]
    return RunList(items=items, next_cursor=to_cursor(page.mark), now=page.now)


@route("GET", "/v1/runs/{run_id}", Action.READ_RUNS, answer=RunAnswer)
def get(call: Call[NoBody, NoQuery]) -> RunAnswer:
    """Read a run."""
    return _run(call)


@route(
    "POST",
    "/v1/runs/{run_id}/kill",
    Action.MANAGE_FLEET,
    body=KillRun,
    screened=True,
    answer=RunAnswer,
    codes=("INVALID_TRANSITION", "CONFLICT"),
)
def kill(call: Call[KillRun, NoQuery]) -> RunAnswer:
    """Ask a run to end: its host ends every process of it, with grace; its wakes are judged then."""
    end_run(call.deps, call.caller, call.path["run_id"], call.body.reason)
    return _run(call)


def _run(call: AnyCall) -> RunAnswer:
    return RunAnswer.model_validate(get_run(call.deps, call.caller, call.path["run_id"]))
