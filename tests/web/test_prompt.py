"""What a prompt tells an agent to call is there: commands that the CLI takes, calls that the API has."""

from __future__ import annotations

import json
import re
import shlex

import pytest
import typer.main

from bridge.cli.app import build
from bridge.core.prompt import OfferedThread, Woken, compose
from bridge.core.states import Rung
from bridge.core.summary import summarise
from tests.core.summaries import facts, finding
from web.app import load_routes
from web.schemas.message import MoveCursor, PostMessage

FACTS = facts(findings=tuple(finding(number) for number in range(1, 12)))
THREADS = (
    OfferedThread("th_1", "executor", 11, 15, 4, 12, 15, summary=summarise(FACTS)),
    OfferedThread("th_2", None, 0, 90, 90, 1, 90),
)
PROMPT = compose(Woken("bob", "ses_bob", Rung.SPAWN, THREADS, 3), 16_384)
COMMANDS = sorted(
    {found.strip() for found in re.findall(r"`(bridge \w+)`", PROMPT)}
    | set(re.findall(r"(bridge post THREAD \"TEXT\" .*)$", PROMPT, re.MULTILINE))
    | set(re.findall(r"^bridge read [^#]*", PROMPT, re.MULTILINE))
    | set(re.findall(r"bridge summary \S+", PROMPT))
)


def takes(command: str) -> bool:
    """Whether the CLI's parser takes it as it stands; raises what a user would be told."""
    _, name, *arguments = shlex.split(command)
    group = typer.main.get_command(build(name))
    found = group.get_command(typer.Context(group), name)  # type: ignore[attr-defined]
    found.make_context(name, arguments)
    return True


def test_all_its_commands_were_found() -> None:
    assert {command.split()[1] for command in COMMANDS} == {"inbox", "read", "post", "summary"}
    assert sum("--ack" in command for command in COMMANDS) == 2


@pytest.mark.parametrize("command", [one for one in COMMANDS if one != "bridge read"])
def test_the_cli_takes_each_command(command: str) -> None:
    assert takes(command)


@pytest.mark.parametrize("option", ["--to bob", "--to-role reviewer", "--json"])
def test_the_cli_takes_the_options_it_names(option: str) -> None:
    assert option.split(maxsplit=1)[0] in PROMPT
    assert takes(f'bridge post th_1 "TEXT" {option}')


def test_the_api_has_each_call() -> None:
    calls = re.findall(
        r"^  (GET|PUT|POST) +\$BRIDGE_URL(/\S+?)(?:\?\S+)?(?: +(\{.*\}))?$", PROMPT, re.MULTILINE
    )
    assert len(calls) == 4
    routes = {(route.method, re.sub(r"\{\w+\}", "THREAD", route.path)): route for route in load_routes()}
    bodies = [routes[method, path].body for method, path, _ in calls]
    assert bodies == [None, None, MoveCursor, PostMessage]
    for model, (_, _, body) in zip(bodies, calls, strict=True):
        if model is not None:
            model.model_validate(json.loads(body.replace("SEQ", "7")))
