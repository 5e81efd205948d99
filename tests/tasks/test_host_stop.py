"""A host's worker that stops: its runs may end by themselves for a while, and what is to end is ended meanwhile."""

import sys
import threading
from pathlib import Path

from sqlalchemy import text

from bridge.bootstrap import Container
from bridge.commands.advance_wake import advance_wake
from bridge.commands.end_run import end_run
from bridge.commands.touch_wake import Begun, touch_wake
from bridge.core.caller import Caller
from bridge.core.run import Run
from bridge.core.states import Role
from bridge.ports.runs import RunSpec
from tasks.base import Scope
from tasks.host import Host
from tests.tasks.world import World, until

DRAIN_S = 120.0
PRESET = f"""
name = "sleeper"
[command]
spawn = ["{sys.executable}", "-c", "import time; print('here', flush=True); time.sleep(600)"]
"""


def begun_run(container: Container, world: World, worker: str) -> Begun:
    """A wake of `reader`, whose attempt begins with a run."""
    wake = world.post(world.thread("reader")).wakes[0].wake_id
    with container.db.unit(world.workspace) as uow:
        uow.run(text("UPDATE agents SET preset = 'sleeper' WHERE agent_id = 'reader'"))
    claimed = advance_wake(container.deps, world.workspace, wake, worker)
    assert claimed.probe is not None
    begun = touch_wake(container.deps, world.workspace, wake, fence=claimed.probe.fence, worker=worker)
    assert isinstance(begun, Begun)
    return begun


def spec_of(run: Run, token: str) -> RunSpec:
    return RunSpec(
        run_id=run.run_id,
        workspace_id=run.workspace_id,
        agent_id=run.agent_id,
        session_id=run.session_id,
        native_id=run.native_id,
        rung=run.rung,
        preset=run.preset,
        prompt="read",
        token=token,
        kill_after_s=600.0,
        kill_grace_s=1.0,
    )


def test_a_run_that_is_to_end_is_ended_while_its_host_stops(
    container: Container, world: World, tmp_path: Path
) -> None:
    presets, token = tmp_path / "presets", tmp_path / "host.token"
    presets.mkdir(mode=0o700)
    (presets / "sleeper.toml").write_text(PRESET)
    token.write_text("none")
    update = {"presets_dir": presets, "token_file": token, "url": "http://127.0.0.1:9", "drain_s": DRAIN_S}
    scope = Scope(world.settings.model_copy(update=update))
    scope.name("host")
    host = Host(scope)
    host.step()
    begun = begun_run(container, world, scope.worker)
    assert begun.run is not None
    assert scope.starter is not None
    runs, run_id = scope.starter.runs, begun.run.run_id
    runs.start(spec_of(begun.run, world.token("reader", begun.run.session_id)))

    def state() -> str:
        with container.db.unit(world.workspace) as uow:
            return str(
                uow.run(text("SELECT state FROM runs WHERE run_id = :id"), {"id": run_id}).scalar_one()
            )

    until(lambda: state() == "running", "a run")
    stopping = threading.Thread(target=host.close)
    stopping.start()
    operator = Caller(world.workspace, "olivia", Role.OPERATOR, "ses-olivia")
    end_run(container.deps, operator, run_id, "it is not wanted")
    try:
        until(lambda: state() == "ended", "its end, asked for while the host stops")
    finally:
        runs.end(run_id, "the test is over", 0.0)
        stopping.join(30)
        scope.close()
