"""Who may do what, as data: one row an action. `own` means: of threads that the caller takes part in."""

from __future__ import annotations

from enum import StrEnum

from bridge.core.caller import Caller
from bridge.core.errors import Forbidden, InvalidArgument, OutOfScopeWorkspace
from bridge.core.host import check_named
from bridge.core.names import RESERVED
from bridge.core.states import Role, ThreadStatus

HOME_WORKSPACE = "default"
"""The workspace of those who run this bridge: its operators, and no others, let other workspaces in."""


class Grant(StrEnum):
    """How far an action is allowed."""

    NO = "no"
    OWN = "own"
    YES = "yes"


class Action(StrEnum):
    """What can be allowed; the value reads in a sentence."""

    POST = "post, read, ack"
    READ_THREAD = "read a thread, its wakes and receipts"
    CREATE_THREAD = "create threads"
    MANAGE_PARTICIPANTS = "manage participants"
    RESOLVE = "resolve"
    BLOCK = "block, unblock"
    CLOSE = "close"
    ESCALATE = "escalate"
    TRIGGER = "trigger a wake"
    CANCEL_WAKE = "cancel a wake"
    FORCE_WAKE = "force a wake"
    READ_INBOX = "read the own inbox"
    OWN_SESSION = "own session"
    HOLD_SESSION = "hold a session"
    READ_RUNS = "read runs"
    READ_FLEET = "read agents, hosts, notices, pauses"
    MANAGE_FLEET = "manage agents, hosts, notices"
    PAUSE = "pause, resume"
    READ_POLICY = "read policies"
    SET_POLICY = "set policies"
    ISSUE_TOKEN = "tokens for others"  # noqa: S105  a label, not a secret
    REVOKE = "revoke tokens"
    REFRESH = "refresh the own token"
    READ_AUDIT = "read the audit"
    REDACT = "redact a message"


_P, _C, _O, _A, _H = Role.PARTICIPANT, Role.COORDINATOR, Role.OPERATOR, Role.AUDITOR, Role.HOST
N, OWN, Y = Grant.NO, Grant.OWN, Grant.YES

#                                  participant coordinator operator auditor host
_TABLE: dict[Action, tuple[Grant, Grant, Grant, Grant, Grant]] = {
    Action.POST: (OWN, OWN, OWN, N, N),
    Action.READ_THREAD: (OWN, Y, Y, Y, N),
    Action.CREATE_THREAD: (N, Y, Y, N, N),
    Action.MANAGE_PARTICIPANTS: (N, Y, Y, N, N),
    Action.RESOLVE: (OWN, Y, Y, N, N),
    Action.BLOCK: (N, Y, Y, N, N),
    Action.CLOSE: (N, Y, Y, N, N),
    Action.ESCALATE: (N, Y, Y, N, N),
    Action.TRIGGER: (OWN, Y, Y, N, N),
    Action.CANCEL_WAKE: (OWN, Y, Y, N, N),
    Action.FORCE_WAKE: (N, N, Y, N, N),
    Action.READ_INBOX: (Y, Y, Y, Y, N),
    Action.OWN_SESSION: (Y, Y, Y, N, N),
    Action.HOLD_SESSION: (OWN, OWN, Y, N, N),  # own: the one in the token
    Action.READ_RUNS: (N, Y, Y, Y, N),
    Action.READ_FLEET: (N, N, Y, Y, N),
    Action.MANAGE_FLEET: (N, N, Y, N, N),
    Action.PAUSE: (N, N, Y, N, N),
    Action.READ_POLICY: (N, Y, Y, Y, N),
    Action.SET_POLICY: (N, N, Y, N, N),
    Action.ISSUE_TOKEN: (N, N, Y, N, Y),  # a host within the bounds of core/host.py
    Action.REVOKE: (N, N, Y, N, N),
    Action.REFRESH: (Y, Y, Y, Y, Y),
    Action.READ_AUDIT: (N, N, Y, Y, N),
    Action.REDACT: (N, N, Y, N, N),
}

AUTHORITY: dict[tuple[Action, Role], Grant] = {
    (action, role): grant
    for action, row in _TABLE.items()
    for role, grant in zip((_P, _C, _O, _A, _H), row, strict=True)
}


def check(action: Action, role: Role, *, own: bool = False) -> None:
    """Raise Forbidden unless the role may do this, here; its facts are the rule that refused."""
    grant = AUTHORITY[action, role]
    if grant is Y or (grant is OWN and own):
        return
    where = " here: you take no part in the thread" if grant is OWN else ""
    facts = {"action": action.name, "role": role.value, "grant": grant.value, "own": own}
    raise Forbidden(f"the role {role} may not {action}{where}", **facts)


def may(action: Action, role: Role) -> bool:
    """Whether the role may do this everywhere in its workspace."""
    return AUTHORITY[action, role] is Y


def needs_membership(action: Action, role: Role) -> bool:
    """Whether the grant holds only in threads that the caller takes part in."""
    return AUTHORITY[action, role] is OWN


STATUS_ACTION: dict[ThreadStatus, Action] = {
    ThreadStatus.ACTIVE: Action.BLOCK,
    ThreadStatus.BLOCKED: Action.BLOCK,
    ThreadStatus.RESOLVED: Action.RESOLVE,
    ThreadStatus.CLOSED: Action.CLOSE,
}
"""What it takes to ask for a status."""


def check_issue(caller: Caller, for_workspace_id: str, agent_id: str, role: Role) -> None:
    """Raise unless the caller may let this agent of that workspace have a token of this role; a host's bounds apart."""
    check(Action.ISSUE_TOKEN, caller.role)
    if caller.workspace_id not in (for_workspace_id, HOME_WORKSPACE):
        raise OutOfScopeWorkspace(
            "only operators and hosts of the home workspace issue tokens for another one"
        )
    if agent_id in RESERVED:
        raise InvalidArgument(f"{agent_id} is the bridge's own name", path="agent_id")
    check_named(agent_id, role)
