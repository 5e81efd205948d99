"""Starting a process for a wake that is `touching`: its token, its prompt, its run.

What could not be started for now burns no try; what can never be started here is an end like any other.
"""

from __future__ import annotations

import structlog

from bridge.bootstrap import Container
from bridge.commands.move_run import move_run
from bridge.commands.touch_wake import Begun
from bridge.core.errors import CallerError, Conflict, NotFound, OurError, RateLimited
from bridge.core.run import Ended, Run
from bridge.core.states import Evidence, RunResult, WaitReason
from bridge.ports.runs import Credentials, Runs, RunSpec
from bridge.ports.runtime import Handed
from bridge.queries.prompt import compose_prompt

log = structlog.get_logger(__name__)

STARTED = "its process was started, and has not shown yet whose session it is"


def start_run(
    container: Container, runs: Runs, credentials: Credentials, begun: Begun, run: Run, *, start_by: float
) -> Handed:
    """Start what `begun` has a row and a slot for. Gives how far that came. `start_by`: read before it was begun."""
    try:
        token = credentials.issue(run.workspace_id, run.agent_id, run.session_id)
        prompt = compose_prompt(container.deps, run.workspace_id, run.attempt_id)
        runs.start(
            RunSpec(
                run_id=run.run_id,
                workspace_id=run.workspace_id,
                agent_id=run.agent_id,
                session_id=run.session_id,
                native_id=run.native_id,
                rung=run.rung,
                preset=run.preset,
                prompt=prompt,
                token=token,
                kill_after_s=begun.kill_after_s,
                kill_grace_s=begun.kill_grace_s,
                cwd=begun.cwd,
                start_by=start_by,
            )
        )
    except (Conflict, RateLimited, OurError) as error:
        log.warning("run.not_started", run_id=run.run_id, why=error.detail)
        return Handed(Evidence.NOT_TOUCHED, WaitReason.HOST, f"it could not be started now: {error.detail}")
    except CallerError as error:
        return Handed(Evidence.GONE, WaitReason.HOST, f"it could not be started: {error.detail}")
    return Handed(Evidence.UNVERIFIED, why=STARTED)


def note_never_started(container: Container, run: Run, why: str, result: RunResult, *, worker: str) -> None:
    """No process of the run was ever started: its slot is free again. CRASHED counts against its session."""
    try:
        move_run(container.deps, run.workspace_id, run.run_id, Ended(result, None, why), worker=worker)
    except NotFound:
        log.warning("run.unknown", run_id=run.run_id)
