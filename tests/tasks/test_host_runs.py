"""A host's runs that no hand watches: what lives of them is ended first, and one that is held up holds up no other."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

from bridge.bootstrap import Container
from bridge.core.errors import Conflict, NotFound
from bridge.core.run import Ended
from bridge.core.states import Rung
from bridge.ports.hosts import OpenRun
from bridge.ports.runs import Runs, RunSpec
from tasks.host_runs import RunKeeping, RunReports


class Site:
    """A host with the runs of a worker that is gone; `alive` lives on until it was swept, `locked` is in a hand."""

    def __init__(self, *run_ids: str, alive: str = "", locked: str = "") -> None:
        self.open = [
            OpenRun(run_id, "ws", "east", "gone", None, None, None, None, end_asked=False, why="")
            for run_id in run_ids
        ]
        self.alive, self.locked = {alive} - {""}, locked
        self.told: list[str] = []
        container = SimpleNamespace(runs=SimpleNamespace(of_host=lambda _host: self.open))
        self.keeping = RunKeeping(
            cast("Container", container), cast("Runs", self), cast("RunReports", self), "east", "new"
        )

    def held(self) -> set[str]:
        return set()

    def sweep(self, keep: set[str]) -> set[str]:
        assert not keep
        killed, self.alive = self.alive, set()
        return killed

    def over(self, workspace_id: str, run_id: str, event: Ended) -> None:
        if run_id == self.locked:
            raise Conflict
        self.told.append(f"{workspace_id} {run_id} {event.result.value}")


def test_what_was_found_alive_is_called_ended_by_a_later_look() -> None:
    site = Site("run_1", "run_2", alive="run_1")
    site.keeping.look()
    assert site.told == ["ws run_2 lost"]
    site.keeping.look()
    assert "ws run_1 lost" in site.told


def test_a_run_whose_rows_are_held_keeps_no_other_waiting() -> None:
    site = Site("run_1", "run_2", locked="run_1")
    site.keeping.look()
    assert site.told == ["ws run_2 lost"]
    site.locked = ""
    site.keeping.look()
    assert "ws run_1 lost" in site.told


def test_a_preset_that_was_taken_away_meanwhile_keeps_no_run_from_being_told_of(tmp_path: Path) -> None:
    def no_such_run(_workspace_id: str) -> None:
        raise NotFound

    policies = SimpleNamespace(current=no_such_run)
    container = cast("Container", SimpleNamespace(deps=SimpleNamespace(policies=policies)))
    spec = RunSpec("run_1", "ws", "bob", "ses_1", "native", Rung.SPAWN, "gone", "read", "token", 60.0, 1.0)
    RunReports(container, tmp_path, "worker").proved(spec, "native")
