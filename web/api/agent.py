"""Agents and hosts."""

from __future__ import annotations

from bridge.commands.drain_host import drain_host
from bridge.commands.put_agent import put_agent
from bridge.core.authority import Action
from bridge.queries.agents import get_agent, list_agents
from bridge.queries.hosts import get_host, list_hosts
from web.paging import from_cursor, to_cursor
from web.routing import Call, NoBody, NoQuery, route
from web.schemas.agent import (
    AgentAnswer,
    AgentList,
    AgentQuery,
    HostAnswer,
    HostList,
    HostQuery,
    PutAgent,
    PutHost,
)


@route("GET", "/v1/agents", Action.READ_FLEET, query=AgentQuery, answer=AgentList)
def list_(call: Call[NoBody, AgentQuery]) -> AgentList:
    """List agents: host, preset, seat, whether they can be reached."""
    query = call.query
    page = list_agents(
        call.deps, call.caller, host=query.host, limit=query.limit, after=from_cursor(query.cursor)
    )
    items = [AgentAnswer.model_validate(agent) for agent in page.items]
    return AgentList(items=items, next_cursor=to_cursor(page.mark))


@route("PUT", "/v1/agents/{agent_id}", Action.MANAGE_FLEET, body=PutAgent, answer=AgentAnswer)
def put(call: Call[PutAgent, NoQuery]) -> AgentAnswer:
    """Say where an agent is, how it is started, whether it is a human, whether it is woken."""
    body, agent_id = call.body, call.path["agent_id"]
    put_agent(
        call.deps,
        call.caller,
        agent_id,
        host=body.host,
        preset=body.preset,
        disabled=body.disabled,
        is_human=body.is_human,
    )
    return AgentAnswer.model_validate(get_agent(call.deps, call.caller, agent_id))


@route("GET", "/v1/hosts", Action.READ_FLEET, query=HostQuery, answer=HostList)
def list_hosts_(call: Call[NoBody, HostQuery]) -> HostList:
    """List hosts: who holds them, last seen, what they can start, what they hold, whether they drain."""
    after = from_cursor(call.query.cursor)
    found = list_hosts(call.deps, call.caller, limit=call.query.limit, after=after[1] if after else None)
    items = [HostAnswer.model_validate(host) for host in found[: call.query.limit]]
    last = items[-1] if len(found) > call.query.limit else None
    seen_at = last.last_seen_at if last else None
    return HostList(items=items, next_cursor=to_cursor((seen_at, last.host)) if last and seen_at else None)


@route(
    "PUT",
    "/v1/hosts/{host}",
    Action.MANAGE_FLEET,
    body=PutHost,
    answer=HostAnswer,
    codes=("OUT_OF_SCOPE_WORKSPACE",),
)
def put_host(call: Call[PutHost, NoQuery]) -> HostAnswer:
    """Let a host drain, so that nothing new is started there, or no longer."""
    host = call.path["host"]
    drain_host(call.deps, call.caller, host, draining=call.body.draining, reason=call.body.reason)
    return HostAnswer.model_validate(get_host(call.deps, call.caller, host))
