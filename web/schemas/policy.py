"""Policies: what a scope sets, the numbers in force, and their history."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from web.schemas.base import Answer, Moment, Paged, Reason, Request

Numbers = Annotated[dict[str, Any], Field(examples=[{"lease_s": 30, "resume": {"tries": 1}}])]
NumbersGiven = Annotated[
    dict[str, Any],
    Field(
        description="Names as in the answer's `policy`; null takes a number away from the scope.",
        examples=[{"resume": {"tries": 1}, "live": {"accept_timeout_s": 4}, "lease_s": None}],
    ),
]


class PutPolicy(Request):
    """Numbers to lay over what the scope sets; with `replace`, to put in its place."""

    policy: NumbersGiven
    reason: Reason
    expected_version: Annotated[int | None, Field(ge=0, le=2**31 - 1)] = None
    replace: bool = False


class PolicyAnswer(Answer):
    """A scope: `policy` are the numbers in force with it, `set` those that it sets itself.

    `sources` says where each number comes from: `built-in`, the `file` that the bridge was started with, or a scope.
    Version 0: nothing is stored. `policy_version` is what wakes record. `unfit`: why what is stored is not in force.
    """

    scope: str
    version: int
    policy_version: int
    author: str | None
    reason: str | None
    created_at: Moment | None
    seed: str
    policy: Numbers
    set: Numbers
    sources: dict[str, str]
    built_in: Numbers
    unfit: str | None


class PutPolicyAnswer(PolicyAnswer):
    """The scope as it is now; `changed` is false when it already was like that, and nothing was stored."""

    changed: bool


class PolicyHistoryQuery(Paged):
    """Which part of the history."""


class NumberChangeAnswer(Answer):
    """One number that was set otherwise; null: not set by this scope."""

    name: str
    before: Any
    after: Any


class PolicyVersionAnswer(Answer):
    """One version of a scope, and what it changed."""

    version: int
    policy_version: int
    author: str
    reason: str
    created_at: Moment
    set: Numbers
    changes: list[NumberChangeAnswer]


class PolicyHistory(Answer):
    """The newest first."""

    items: list[PolicyVersionAnswer]
    next_cursor: str | None
