"""Every command, query and repository function, called: found by looking, so that a new one is called too.

Rules of this file:

- What a parameter is given goes by its name, an id being one that is there in the workspace that `ids_of` looked at;
  else by its type. A parameter that neither tells is an error that names it: say in `SAMPLES` what it is.
- A function is called with nothing but what it needs, once more with each thing that it may be given, and with all.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import partial
from types import ModuleType
from typing import Any

import bridge.commands
import bridge.db
import bridge.queries
from bridge.commands.post_message import Draft
from bridge.core import run as core_run
from bridge.core.caller import Caller
from bridge.core.host import BoundService
from bridge.core.summary import summarise
from bridge.db import agent_store, all_tables, run_store, thread_store, wake_store
from bridge.db.audit_proof import ProofPlace
from bridge.db.base import TENANT_FREE
from bridge.db.deps import Deps
from bridge.db.uow import UnitOfWork
from bridge.ports.ids import IdSource
from bridge.queries.audit import AuditPlace
from bridge.queries.audit_marks import MarkPlace
from tests.core.summaries import facts
from tests.support.postgres import Owner
from tests.support.world import T0

SAMPLES: dict[str, Any] = {
    "after": None,
    "agent": "bob",
    "agent_id": "bob",
    "audience": "operators",
    "before": None,
    "draft": Draft("said on a walk"),
    "event": core_run.Started("boot", 1, 2, 3),
    "event_type": "finding_reported",
    "fence": 1,
    "host": "local",
    "kind": "event",
    "in_reply_to": None,
    "limit": 200,
    "look_back": 5000,
    "native_id": "n",
    "numbers": {},
    "participant": "alice",
    "participants": [("alice", None), ("bob", None)],
    "q": "finding",
    "request_id": "req_000001",
    "resource_type": "thread",
    "scope": "workspace",
    "sender": "alice",
    "since_seq": 0,
    "sha256": "00" * 32,
    "state": "pending",
    "statuses": [],
    "summary": summarise(facts()),
    "target_agent_id": "bob",
    "title": "t",
    "worker": "hand-1",
}
BY_TYPE: dict[Any, Any] = {
    str: "x",
    int: 1,
    float: 1.0,
    bool: True,
    bytes: b"",
    datetime: T0,
    dict: {},
    Iterable: [],
    Mapping: {},
    list: [],
    Sequence: [],
    tuple: (),
    AuditPlace: AuditPlace(T0, "thread", "th_none", 1),
    ProofPlace: ProofPlace("messages"),
    MarkPlace: MarkPlace("messages"),
}
ALIASES = {"resource_id": "thread_id", "thread": "thread_id", "wake": "wake_id"}
"""Parameters that are ids under a shorter name."""


OF_THE_SAMPLES = (LookupError, TypeError, ValueError, AttributeError, AssertionError)
"""What a function says to a value that no caller of it would give."""


class Unknown(Exception):
    """Nobody said what this parameter is."""


@dataclass(frozen=True)
class Call:
    """One call: `go` makes it, and gives what it answers."""

    name: str
    go: Callable[[], Any]


@dataclass(frozen=True)
class Walker:
    """Who walks: the caller, and the ids that are tried."""

    deps: Deps
    caller: Caller
    ids: Mapping[str, Any]
    values: Mapping[Any, Any]

    def services(self) -> Iterator[Call]:
        """Every command and query."""
        for name, function in _functions(bridge.commands, bridge.queries):
            if next(iter(inspect.signature(function).parameters), "") == "deps":
                for given in self._ways(name, function, {"deps": self.deps}):
                    yield Call(name, partial(function, **given))

    def repositories(self) -> Iterator[Call]:
        """Every function that works in a unit of work and takes nothing that only a command can make, as a decision."""
        for name, function in _functions(bridge.db, bridge.queries):
            if next(iter(inspect.signature(function).parameters), "") == "uow":
                try:
                    ways = list(self._ways(name, function, {"uow": None}))
                except Unknown:
                    continue
                for given in ways:
                    yield Call(name, partial(self._in_a_unit, function, given))

    def _in_a_unit(self, function: Callable[..., Any], given: Mapping[str, Any]) -> Any:  # noqa: ANN401
        with self.deps.unit(self.caller.workspace_id, self.caller) as uow:
            return _told(function(**{**given, "uow": uow}))

    def _ways(
        self, name: str, function: Callable[..., Any], first: Mapping[str, Any]
    ) -> Iterator[dict[str, Any]]:
        types_of = typing.get_type_hints(function, _names(function))
        needed: dict[str, Any] = dict(first)
        optional: dict[str, Any] = {}
        for parameter in list(inspect.signature(function).parameters.values())[1:]:
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            value = self._value(name, parameter.name, types_of[parameter.name])
            (needed if parameter.default is parameter.empty else optional)[parameter.name] = value
        yield needed
        for one, value in optional.items():
            yield needed | {one: value}
        yield needed | optional

    def _value(self, function: str, name: str, kind: Any) -> Any:  # noqa: ANN401
        kinds = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
        plain = [typing.get_origin(one) or one for one in kinds if one is not type(None)]
        enums = [one for one in plain if isinstance(one, type) and issubclass(one, Enum)]
        if enums:
            return next(iter(enums[0]))
        if Caller in plain:
            return self.caller
        if name == "workspace_id":
            return self.caller.workspace_id
        for known in (self.ids, SAMPLES):
            found = known.get(ALIASES.get(name, name))
            if found is not None or name in known:
                return found
        for given, value in (*self.values.items(), *BY_TYPE.items()):
            if given in plain and not name.endswith("_id"):
                return value
        raise Unknown(f"tests/support/walk.py: say in SAMPLES what `{name}` of {function} is")


def values_of(deps: Deps, workspace: str, ids: Mapping[str, Any], own: str) -> dict[Any, Any]:
    """For each kind of thing that the core knows, the workspace's, as a command of that workspace locks it."""
    with deps.unit(workspace) as uow:
        wake, thread = wake_store.lock(uow, ids["wake_id"]), thread_store.lock_thread(uow, ids["thread_id"])
        run = run_store.lock_run(uow, ids["run_id"])
        session, _ = agent_store.need_session(uow, ids["session_id"])
    found = [wake, wake.wake, thread, thread.thread, run, run.run, session, deps.policies.current(workspace)]
    return {type(value): value for value in found} | {
        IdSource: deps.ids,
        BoundService: BoundService(own, "bob", "billing", None, 0, seated=False, taken=False),
        Callable: lambda same: same,
    }


def ids_of(owner: Owner, workspace: str) -> dict[str, Any]:
    """For each id that is a table's key, one that is there in the workspace."""
    found: dict[str, Any] = {"seq": 1, "thread_ids": [], "session_id": f"ses_{workspace}"}
    found["message_id"] = owner.value(
        "SELECT min(message_id) FROM messages WHERE workspace_id = :ws", ws=workspace
    )
    for table in all_tables().sorted_tables:
        (key, *more) = [column.name for column in table.primary_key]
        if not more and key.endswith("_id") and table.name not in TENANT_FREE and key != "workspace_id":
            found[key] = owner.value(
                f"SELECT min({key}) FROM {table.name} WHERE workspace_id = :ws",  # noqa: S608  names of ours
                ws=workspace,
            )
    return found


def _functions(*packages: ModuleType) -> Iterator[tuple[str, Callable[..., Any]]]:
    for package in packages:
        for found in pkgutil.iter_modules(package.__path__):
            module = importlib.import_module(f"{package.__name__}.{found.name}")
            for name, function in sorted(vars(module).items()):
                ours = inspect.isfunction(function) and function.__module__ == module.__name__
                if ours and not name.startswith("_"):
                    yield f"{found.name}.{name}", function


def _names(function: Callable[..., Any]) -> dict[str, Any]:
    """The names that the function's annotations are of, those of type checking alone too."""
    return {**vars(importlib.import_module(function.__module__)), "UnitOfWork": UnitOfWork}


def _told(answer: Any) -> Any:  # noqa: ANN401
    """An answer that was to be read in its transaction, read."""
    return list(answer) if inspect.isgenerator(answer) else answer
