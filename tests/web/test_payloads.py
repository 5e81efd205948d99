"""What agents sent in v1 is taken for ever, and answered with all that it was: recorded calls, made again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bridge.core.states import Role
from tests.support.postgres import Owner
from tests.support.scene import play
from tests.support.walk import ids_of
from tests.support.web import Api
from tests.support.world import Clock, World
from web.app import load_routes

Apis = Callable[..., Api]
FOLDER = Path(__file__).parent / "payloads" / "v1"
FILES = sorted(FOLDER.glob("*.json"))
UNRECORDED: frozenset[str] = frozenset()
"""Calls that are younger than the last recording."""
SECRETS = ("token",)


def sent(value: Any, known: dict[str, Any]) -> Any:  # noqa: ANN401  JSON
    """The JSON with the ids in the place of their names."""
    if isinstance(value, dict):
        return {name: sent(item, known) for name, item in value.items()}
    if isinstance(value, list):
        return [sent(item, known) for item in value]
    return re.sub(r"\{(\w+)\}", lambda name: str(known[name[1]]), value) if isinstance(value, str) else value


def kind(value: Any) -> str:  # noqa: ANN401  JSON
    if isinstance(value, bool) or value is None:
        return "bool" if value is not None else "null"
    return {int: "number", float: "number", str: "string", list: "list", dict: "object"}[type(value)]


def losses(was: Any, now: Any, place: str = "") -> list[str]:  # noqa: ANN401  JSON
    """What the answer had and has no more; what was null may be anything."""
    if was is None:
        return []
    if kind(was) != kind(now):
        return [f"{place}: was a {kind(was)}, is a {kind(now)}"]
    if isinstance(was, dict):
        gone = [f"{place}/{name}: gone" for name in was if name not in now]
        return gone + [
            loss for name in was if name in now for loss in losses(was[name], now[name], f"{place}/{name}")
        ]
    if isinstance(was, list) and was:
        return losses(was[0], now[0], f"{place}/0") if now else [f"{place}: empty"]
    return []


def make(api: Apis, step: dict[str, Any], known: dict[str, Any]) -> tuple[int, Any]:
    """Make the call; what it keeps is known from then on."""
    agent_id, role, *workspace = step["as"]
    method, path = step["call"].split(" ")
    said: dict[str, Any] = sent({name: step.get(name) for name in ("query", "body")}, known)
    answer = api(agent_id, Role(role), **({"workspace": workspace[0]} if workspace else {})).call(
        method,
        sent(path, known | sent(step.get("path", {}), known)),
        said["body"],
        **({"query_string": said["query"]} if said["query"] else {}),
    )
    for name, at in step.get("keep", {}).items():
        found: Any = answer.json
        for part in at.split("/"):
            found = found[int(part) if part.isdigit() else part]
        known[name] = found
    return answer.status_code, answer.json


def test_every_recorded_call_is_answered_as_it_was(
    api: Apis, world: World, owner: Owner, clock: Clock, pytestconfig: pytest.Config
) -> None:
    play(world, clock)
    known = ids_of(owner, world.workspace)
    wrong: dict[str, Any] = {}
    for file in FILES:
        step = json.loads(file.read_text(encoding="utf-8"))
        status, answer = make(api, step, known)
        if "status" not in step and pytestconfig.getoption("--record-payloads"):
            hidden = {name: "(not kept)" for name in SECRETS if name in answer}
            step |= {"status": status, "answer": answer | hidden}
            file.write_text(json.dumps(step, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        elif "status" not in step:
            wrong[file.name] = "not recorded: make payloads"
        elif status != step["status"]:
            wrong[file.name] = f"{status} instead of {step['status']}: {answer}"
        elif status >= 400 and answer["code"] != step["answer"]["code"]:
            wrong[file.name] = f"{answer['code']} instead of {step['answer']['code']}"
        elif lost := losses(step["answer"], answer):
            wrong[file.name] = lost
    assert wrong == {}


def test_every_call_of_the_api_is_recorded() -> None:
    calls = {json.loads(file.read_text(encoding="utf-8"))["call"] for file in FILES}
    there = {f"{route.method} {route.path}" for route in load_routes() if route.path.startswith("/v1/")}
    assert there - calls == UNRECORDED, (
        "add a file to tests/web/payloads/v1 (its README says how), `make payloads`"
    )


@pytest.mark.parametrize(
    ("was", "now", "lost"),
    [
        ({"a": 1}, {"a": 2, "b": "new"}, []),
        ({"a": None}, {"a": "now it is known"}, []),
        ({"a": 1}, {}, ["/a: gone"]),
        ({"a": 1}, {"a": "1"}, ["/a: was a number, is a string"]),
        ({"a": True}, {"a": 1}, ["/a: was a bool, is a number"]),
        ({"a": "x"}, {"a": None}, ["/a: was a string, is a null"]),
        ({"items": [{"a": 1}]}, {"items": [{"b": 1}]}, ["/items/0/a: gone"]),
        ({"items": [{"a": 1}]}, {"items": []}, ["/items: empty"]),
    ],
)
def test_more_passes_and_less_does_not(was: Any, now: Any, lost: list[str]) -> None:  # noqa: ANN401  JSON
    assert losses(was, now) == lost
