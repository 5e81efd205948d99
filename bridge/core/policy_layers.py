"""Policies in layers: what each scope sets, laid over the numbers that the bridge was started with.

Rules of this file:

- The nearest scope that sets a number wins: SCOPES stand from far to near. A scope holds only what it sets.
- A change is accepted only when every layer fits what it lies on, so one scope cannot make another one wrong.
- A layer that does not fit any more (the bridge was started with other numbers) is left out as a whole, and that is
  said; names that a later version stored are passed over. Waking goes on by the numbers below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from difflib import get_close_matches
from typing import Any

from bridge.core.errors import InvalidArgument
from bridge.core.policy import Policy, from_data, to_data

SCOPES = ("default", "workspace")
SCOPES_TO_COME = ("thread_type:", "runtime:", "agent:")
NAME_CHARS_MAX = 64
Data = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Layer:
    """What a scope sets, and who set it why; version 0 sets nothing."""

    scope: str
    version: int = 0
    data: Data = field(default_factory=dict)
    author: str | None = None
    reason: str | None = None
    created_at: datetime | None = None


Layers = Mapping[str, Layer]


@dataclass(frozen=True, slots=True)
class Effective:
    """The policy of all layers, where each number comes from, and which layers do not fit, and why."""

    policy: Policy
    sources: dict[str, str]
    unfit: dict[str, str]


@dataclass(frozen=True, slots=True)
class PolicyView:
    """A scope as it is shown: `policy` is effective, `set` is its own; `policy_version` is what wakes record."""

    scope: str
    version: int
    policy_version: int
    author: str | None
    reason: str | None
    created_at: datetime | None
    seed: str
    policy: Data
    set: Data
    sources: dict[str, str]
    built_in: Data
    unfit: str | None


def check_scope(scope: str) -> None:
    """Raise InvalidArgument for a scope that is not in force: nothing is stored that would have no effect."""
    if scope in SCOPES:
        return
    if scope.startswith(SCOPES_TO_COME):
        raise InvalidArgument(f"the scope {scope} comes later: use workspace", path="scope")
    raise InvalidArgument(f"there is no such scope: use {' or '.join(SCOPES)}", path="scope")


def flat(data: Mapping[str, Any]) -> Data:
    """The numbers by their dotted names: `live.tries`."""
    found: Data = {}
    for name, value in data.items():
        found |= (
            {f"{name}.{inner}": it for inner, it in value.items()} if _is_rung(name, value) else {name: value}
        )
    return found


def plain(policy: Policy) -> Data:
    """The numbers as JSON has them; the version is no number of the ladder."""
    data = {name: value for name, value in to_data(policy).items() if name != "version"}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in data.items()}


def stack(seed: Policy, layers: Layers) -> Effective:
    """The policy in force. Its version counts the changes of all layers."""
    usual = flat(plain(Policy()))
    sources = {
        name: "built-in" if value == usual[name] else "file" for name, value in flat(plain(seed)).items()
    }
    policy, unfit = seed, {}
    for layer in _in_order(layers):
        try:
            policy = from_data(_known(layer.data), base=policy)
        except InvalidArgument as error:
            unfit[layer.scope] = error.detail
        else:
            sources |= dict.fromkeys(flat(_known(layer.data)), layer.scope)
    return Effective(replace(policy, version=policy_version(layers)), sources, unfit)


def policy_version(layers: Layers) -> int:
    """How often the policy was changed: every change of any scope is another one."""
    return sum(layer.version for layer in layers.values())


def change(seed: Policy, layers: Layers, scope: str, given: Data, *, whole: bool = False) -> Data:
    """What the scope sets after `given` is laid over it (`whole`: in its place); None takes a number away.

    Raises InvalidArgument naming the number, when what comes out is no policy.
    """
    _check_names(given)
    if given.get("tick_s") not in (None, seed.tick_s):
        raise InvalidArgument(
            "tick_s cannot be changed while it runs: ticks have a fixed period", path="tick_s"
        )
    data = _overlaid({} if whole else layers[scope].data, given)
    policy = seed
    for layer in _in_order(layers):
        try:
            policy = from_data(_known(data if layer.scope == scope else layer.data), base=policy)
        except InvalidArgument as error:
            if layer.scope == scope:
                raise
            detail = f"{error.detail} (by what the scope {layer.scope} sets)"
            raise InvalidArgument(detail, path=error.errors[0]["path"]) from error
        if layer.scope == scope:
            data = _as_read(data, plain(policy))
    return data


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Each number that is set otherwise, before and after; None: not set."""
    was, now = flat(before), flat(after)
    return {
        name: (was.get(name), now.get(name)) for name in sorted(was | now) if was.get(name) != now.get(name)
    }


def view(seed: Policy, layers: Layers, scope: str) -> PolicyView:
    """The scope with all that lies below it."""
    below = {name: layer for name, layer in layers.items() if SCOPES.index(name) <= SCOPES.index(scope)}
    found, layer = stack(seed, below), layers[scope]
    return PolicyView(
        scope=scope,
        version=layer.version,
        policy_version=policy_version(layers),
        author=layer.author,
        reason=layer.reason,
        created_at=layer.created_at,
        seed="built-in" if plain(seed) == plain(Policy()) else "file",
        policy=plain(found.policy),
        set=layer.data,
        sources=found.sources,
        built_in=plain(Policy()),
        unfit=found.unfit.get(scope),
    )


def _in_order(layers: Layers) -> list[Layer]:
    return [layers[scope] for scope in SCOPES if scope in layers]


_NUMBERS = plain(Policy())
_RUNGS = frozenset(name for name, value in _NUMBERS.items() if isinstance(value, dict))


def _is_rung(name: str, value: object) -> bool:
    return name in _RUNGS and isinstance(value, dict)


def _known(data: Data) -> Data:
    found: Data = {}
    for name, value in data.items():
        if _is_rung(name, value):
            found[name] = {inner: it for inner, it in value.items() if inner in _NUMBERS[name]}
        elif name in _NUMBERS:
            found[name] = value
    return found


def _check_names(given: Data) -> None:
    for name, value in given.items():
        if name == "version":
            raise InvalidArgument("version is counted, it cannot be set", path="version")
        inner = value if _is_rung(name, value) else {}
        names = [name, *(f"{name}.{number}" for number in inner)]
        for number in names:
            if (number not in _RUNGS and number not in flat(_NUMBERS)) or "." in name:
                raise InvalidArgument(_unknown(number), path=number[:NAME_CHARS_MAX])


def _unknown(name: str) -> str:
    short = name[:NAME_CHARS_MAX]
    near = get_close_matches(short, [*_RUNGS, *flat(_NUMBERS)], n=1)
    return f"{short} is not a policy field" + (f": did you mean {near[0]}?" if near else "")


def _overlaid(held: Data, given: Data) -> Data:
    data = {name: dict(value) if isinstance(value, dict) else value for name, value in held.items()}
    for name, value in given.items():
        if _is_rung(name, value):
            inner = {number: it for number, it in (data.get(name, {}) | value).items() if it is not None}
            data[name] = inner or None
        else:
            data[name] = value
    return {name: value for name, value in data.items() if value is not None}


def _as_read(data: Data, policy: Data) -> Data:
    """The same numbers in the form that the policy has them: 10 seconds are 10.0."""
    read: Data = {}
    for name, value in data.items():
        if _is_rung(name, value):
            read[name] = {inner: policy[name].get(inner, it) for inner, it in value.items()}
        else:
            read[name] = policy.get(name, value)
    return read
