"""`bridge host NAME`: the worker of a host, on this machine. And what hosts there are; letting one drain.

Rules of this file:

- The worker is the very process that `bridge up` runs as its own host: this command only refuses what could not
  work, and then becomes that process. TERM and Ctrl-C reach it directly.
- What is missing is told all at once, with where to get it. The token is shown to nobody.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Annotated, Any, NoReturn

import httpx
import typer

from bridge.adapters.host_credentials import replace_private
from bridge.adapters.machine import machine
from bridge.bootstrap import build
from bridge.cli.agents_as import AgentsAs, check_agents
from bridge.cli.connection import ApiError, AsJson, Data, TokenPath, Url, connect, show
from bridge.cli.words import clock, columns
from bridge.client import Client, FixedToken
from bridge.config import Settings, child_environment, inherited_environment, load_settings
from bridge.core.claims import unchecked_claims
from bridge.core.errors import Conflict, InvalidArgument, Unauthorized, Unavailable
from bridge.core.host import HOST_PREFIX
from bridge.core.policy import HOST_NAME
from bridge.core.states import Role, Rung
from bridge.queries.host_start import why_not_start
from bridge.stack.embedded import private_dir
from bridge.stack.probes import unix_listens
from bridge.stack.services import host_command

ASK_S = 3.0
DRAIN_S = 10.0
"""Nobody kills this worker ten seconds after a TERM, as a stack's manager does: its runs may have that long."""
REFUSED = frozenset({401, 403})
HEADINGS = ("host", "state", "slots", "runs", "sessions", "term", "version", "machine", "starts")


def host(
    name: Annotated[
        str | None, typer.Argument(help="The host whose worker this becomes; not given: list hosts.")
    ] = None,
    drain: Annotated[
        bool, typer.Option("--drain", help="Start nothing new there; what runs goes on.")
    ] = False,
    undrain: Annotated[bool, typer.Option("--undrain", help="Start things there again.")] = False,
    listing: Annotated[bool, typer.Option("--list", help="List the hosts.")] = False,
    reason: Annotated[str | None, typer.Option(help="Why, with --drain and --undrain.")] = None,
    data: Data = None,
    url: Url = None,
    token_file: TokenPath = None,
    agents_as: AgentsAs = None,
    as_json: AsJson = False,
) -> None:
    """Run a host's worker on this machine, or list the hosts, or let one drain."""
    if drain + undrain + listing > 1 or (reason is not None and not (drain or undrain)):
        _usage("give one of --list, --drain and --undrain, and --reason with the last two")
    if drain or undrain:
        if name is None or not reason:
            _usage("--drain and --undrain take a host's NAME and --reason")
        _drain(connect(data, url, token_file), name, draining=drain, reason=reason, as_json=as_json)
    elif listing or name is None:
        _list(connect(data, url, token_file), name, as_json=as_json)
    else:
        if not HOST_NAME.fullmatch(name):
            _usage(f"{name!r} is no host's name: small letters, digits and -, 32 at most")
        settings = load_settings(
            data_dir=data, url=url, token_file=token_file, host_name=name, agents_as=agents_as
        )
        _check(settings)
        _become(settings, as_json=as_json)


def _usage(what: str) -> NoReturn:
    print(f"bridge: {what}", file=sys.stderr)
    raise typer.Exit(2)


# --- the worker ----------------------------------------------------------------------------------------------


def _check(settings: Settings) -> None:
    """Raise BridgeError, with what is wrong, unless the worker can start with these settings."""
    _need_all(settings)
    token = _own_token(settings)
    private_dir(settings.data_dir)
    private_dir(settings.run_dir)
    check_agents(settings)
    if unix_listens(settings.host_socket):
        detail = f"a worker of the host {settings.host_name} runs here already: it listens on {settings.host_socket}"
        raise Conflict(detail)
    container = build(settings, process="cli")
    try:
        why = why_not_start(container.deps, settings.host_name, machine(settings))
        if why is not None:
            raise Conflict(why)
        container.check_database()
    except Unavailable as error:
        raise Unavailable(f"the database that DATABASE_URL names does not answer: {error.detail}") from error
    finally:
        container.close()
    _renew(settings, token)


def _need_all(settings: Settings) -> None:
    """Raise InvalidArgument that names everything that is missing."""
    there = "as in the stack.json of the bridge's machine"
    token = f"`bridge token issue --agent {HOST_PREFIX}{settings.host_name} --role host`, into a file of mode 0600"
    wanted = {
        f"DATABASE_URL (`database_url`, {there})": settings.database_url,
        f"BROKER_URL (`broker_url`, {there})": settings.broker_url,
        f"--url or BRIDGE_URL (`url`, {there})": settings.url,
        f"--token-file or BRIDGE_TOKEN_FILE (made there by {token})": settings.token_file,
    }
    missing = [how for how, given in wanted.items() if given is None]
    if missing:
        raise InvalidArgument(f"the host {settings.host_name} cannot start: give {'; '.join(missing)}")


def _own_token(settings: Settings) -> str:
    """What is in the token file. Raises Unauthorized unless it is this host's, and kept from others."""
    file, name = settings.token_file, f"{HOST_PREFIX}{settings.host_name}"
    assert file is not None  # noqa: S101  _need_all
    try:
        if file.stat().st_mode & 0o077:
            raise Unauthorized(f"{file} can be read by others: chmod 600 it")
        token = file.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise Unauthorized(f"the host's token cannot be read from {file}") from error
    claims = unchecked_claims(token)
    if not claims:
        raise Unauthorized("this is no token")
    who, role = claims.get("agent_id"), claims.get("role")
    if who != name or role != Role.HOST.value:
        raise Unauthorized(
            f"the token in {file} is {who}'s (role {role}): this host needs one of {name}, role host"
        )
    return token


def _renew(settings: Settings, token: str) -> None:
    """Ask the bridge whether the token is good, and keep the fresh one. Raises Unauthorized when it is not."""
    assert settings.url is not None  # noqa: S101  _need_all
    assert settings.token_file is not None  # noqa: S101
    try:
        with Client(settings.url, FixedToken(token), retry_for_s=0, timeout_s=ASK_S) as client:
            fresh = str(client.refresh_token()["token"])
        replace_private(settings.token_file, fresh + "\n")
    except ApiError as error:
        if error.status in REFUSED:
            how = f"bridge token issue --agent {HOST_PREFIX}{settings.host_name} --role host"
            raise Unauthorized(
                f"the bridge refuses this host's token: {error.detail}. A new one: {how}"
            ) from error
        _warn(
            f"the bridge at {settings.url} has trouble ({error.detail}): nothing is started until it is well"
        )
    except httpx.HTTPError:
        _warn(f"no bridge answers at {settings.url}: nothing is started here until one does")
    except OSError as error:
        _warn(f"{settings.token_file} cannot be written ({error.strerror}): a restart will need a new token")


def _become(settings: Settings, *, as_json: bool) -> NoReturn:
    """Become the worker."""
    if not settings.jwks_file.exists():
        _warn(f"no public keys in {settings.jwks_file}: `bridge run` cannot register here (BRIDGE_JWKS_FILE)")
    told = {"host": settings.host_name, "url": settings.url, "pid": os.getpid(), "machine": machine(settings)}
    line = (
        f"bridge: the host {settings.host_name} starts here, for {settings.url}. Ctrl-C ends it, and its runs"
    )
    print(json.dumps(told) if as_json else line, flush=True)
    os.chdir(settings.run_dir)
    if "drain_s" not in settings.model_fields_set:
        settings = settings.model_copy(update={"drain_s": DRAIN_S})
    environment = inherited_environment() | child_environment(settings)
    environment.pop("BRIDGE_TOKEN", None)  # a person's: no agent that is started here shall inherit it
    argv = (sys.executable, *host_command(settings.host_name)[1:])
    os.execve(sys.executable, argv, environment)  # noqa: S606  argv is our own


def _warn(what: str) -> None:
    print(f"bridge: {what}", file=sys.stderr, flush=True)


# --- the others ----------------------------------------------------------------------------------------------


def _drain(client: Client, name: str, *, draining: bool, reason: str, as_json: bool) -> None:
    with client:
        answer = client.call("PUT", f"/v1/hosts/{name}", json={"draining": draining, "reason": reason})
    runs = "nothing new is started there" if draining else "things are started there again"
    show(answer, as_json=as_json, text=f"{name}: {runs} ({answer['slots_used']} of its slots are in use)")


def _list(client: Client, name: str | None, *, as_json: bool) -> None:
    found: list[dict[str, Any]] = []
    with client:
        cursor: str | None = None
        while True:
            params = {"limit": 200} | ({"cursor": cursor} if cursor else {})
            page = client.call("GET", "/v1/hosts", params=params)
            found += [item for item in page["items"] if name in (None, item["host"])]
            cursor = page["next_cursor"]
            if not cursor:
                break
    text = "\n".join(columns(HEADINGS, [_row(item) for item in found])) if found else "no hosts"
    show({"items": found, "next_cursor": None}, as_json=as_json, text=text)


def _row(item: dict[str, Any]) -> tuple[str, ...]:
    since = f"not seen since {clock(item['last_seen_at'])}" if item["last_seen_at"] else "never seen"
    state = ("draining" if item["draining"] else "ready") if item["seen"] else since
    starts = ",".join(_preset(name, rungs) for name, rungs in sorted(item["presets"].items())) or "-"
    slots, held = f"{item['slots_used']}/{item['slots']}", (item["version"] or "-", item["machine"] or "-")
    counts = (str(item[field]) for field in ("runs", "attached_sessions", "term"))
    return (item["host"], state, slots, *counts, *held, starts)


def _preset(name: str, rungs: list[str]) -> str:
    """A preset that tells a service starts nothing: it says so."""
    return f"{name} (webhook)" if rungs == [Rung.LIVE] else name
