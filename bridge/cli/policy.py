"""`bridge policy`: show, set, history. Numbers go by their dotted names: `resume.tries=1`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from bridge.adapters.policies import read_numbers
from bridge.cli.connection import AsJson, Data, TokenPath, Url, connect, show
from bridge.cli.words import why
from bridge.core.errors import InvalidArgument
from bridge.core.policy import Policy
from bridge.core.policy_layers import flat, plain

app = typer.Typer(no_args_is_help=True)
Scope = Annotated[str, typer.Option(help="default or workspace; workspace wins.")]
LIMIT_MAX = 200
YES, NO = ("true", "yes", "on"), ("false", "no", "off")


@app.command("show")
def show_policy(
    scope: Scope = "workspace",
    data: Data = None,
    url: Url = None,
    token_file: TokenPath = None,
    as_json: AsJson = False,
) -> None:
    """Show every number in force, and where it comes from."""
    with connect(data, url, token_file) as client:
        answer = client.policy(scope)
    show(answer, as_json=as_json, text="\n".join([*_head(answer), "", *_table(answer)]))


@app.command("set")
def set_policy(
    reason: Annotated[str, typer.Option(help="Why; it stands in the history.")],
    numbers: Annotated[
        list[str] | None,
        typer.Argument(help="resume.tries=1 live.accept_timeout_s=4 ...", metavar="NAME=VALUE"),
    ] = None,
    scope: Scope = "workspace",
    unset: Annotated[
        list[str] | None, typer.Option(help="A number, or a rung, that this scope shall not set any more.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="JSON or TOML with numbers; those on the line win.")
    ] = None,
    expected_version: Annotated[
        int | None, typer.Option(min=0, help="Refuse unless the scope is at this version.")
    ] = None,
    replace: Annotated[bool, typer.Option(help="The scope sets this and nothing else.")] = False,
    data: Data = None,
    url: Url = None,
    token_file: TokenPath = None,
    as_json: AsJson = False,
) -> None:
    """Change numbers, in force everywhere within a second. What is not named stays."""
    if not (numbers or unset or file or replace):
        print(
            "bridge: nothing to set: give NAME=VALUE, --unset NAME or --file FILE "
            "(`bridge policy show` lists the names)",
            file=sys.stderr,
        )
        raise typer.Exit(2)
    given = read_numbers(file) if file else {}
    for text in numbers or []:
        name, value = parse_number(text)
        _put(given, name, value)
    for name in unset or []:
        _put(given, name, None)
    _check_sendable(given)
    with connect(data, url, token_file) as client:
        answer = client.set_policy(
            given, reason, scope=scope, expected_version=expected_version, replace=replace or None
        )
    show(answer, as_json=as_json, text="\n".join(_told(answer, given)))


@app.command()
def history(
    scope: Scope = "workspace",
    limit: Annotated[int, typer.Option(min=1, max=LIMIT_MAX)] = 20,
    data: Data = None,
    url: Url = None,
    token_file: TokenPath = None,
    as_json: AsJson = False,
) -> None:
    """List the versions of a scope, the newest first: who changed which number, when and why."""
    with connect(data, url, token_file) as client:
        page = client.policy_history(scope, limit=limit)
    lines = [line for version in page["items"] for line in _version(version)]
    if page["next_cursor"]:
        lines.append(f"... and older ones, with --limit up to {LIMIT_MAX}, or with the API's cursor")
    show(page, as_json=as_json, text="\n".join(lines) or f"{scope} was never changed")


def parse_number(text: str) -> tuple[str, Any]:
    """The name and the value of `live.tries=2`, by the kind of number it is. Raises InvalidArgument."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InvalidArgument(f"{text!r} is no NAME=VALUE: write live.tries=2", path=name)
    usual = flat(plain(Policy())).get(name)
    if isinstance(usual, bool):
        if value.lower() not in YES + NO:
            raise InvalidArgument(f"{name} is true or false, not {value!r}", path=name)
        return name, value.lower() in YES
    if isinstance(usual, list):
        return name, [word.strip() for word in value.split(",") if word.strip() not in ("", "-")]
    if isinstance(usual, str):
        return name, value
    return name, _number(name, value)


def _number(name: str, value: str) -> Any:  # noqa: ANN401  JSON: a number, mostly
    try:
        return json.loads(value)
    except ValueError as error:
        unit = ": its unit is in its name" if name.partition("_s")[1] else ""
        raise InvalidArgument(f"{name} is a plain number, not {value!r}{unit}", path=name) from error


def _put(given: dict[str, Any], name: str, value: Any) -> None:  # noqa: ANN401  JSON
    rung, dot, inner = name.partition(".")
    if not dot:
        given[name] = value
        return
    numbers = given.setdefault(rung, {})
    if not isinstance(numbers, dict):
        raise InvalidArgument(f"{name} and {rung} are both given: name one of them", path=name)
    numbers[inner] = value


def _check_sendable(given: dict[str, Any]) -> None:
    try:
        json.dumps(given, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidArgument("a number is none: no date, no NaN, nothing endless") from error


def _head(answer: dict[str, Any]) -> list[str]:
    seed = (
        "the built-in numbers"
        if answer["seed"] == "built-in"
        else "the file that the bridge was started with"
    )
    if not answer["version"]:
        return [f"{answer['scope']} sets nothing (version 0): below it, {seed}"]
    where = f"{answer['scope']}, version {answer['version']}"
    lines = [f"{where}, by {answer['author']} at {answer['created_at']}: {why(answer['reason'])}"]
    if answer["unfit"]:
        lines.append(f"NOT IN FORCE, it does not fit what is below it: {answer['unfit']}")
    return lines


def _table(answer: dict[str, Any]) -> list[str]:
    numbers, usual = flat(answer["policy"]), flat(answer["built_in"])
    rows = [("number", "value", "from", "built-in")]
    rows += [
        (name, figure(value), answer["sources"][name], figure(usual[name]) if usual[name] != value else "")
        for name, value in numbers.items()
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return [
        f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:<{widths[2]}}  {row[3]}".rstrip()
        for row in rows
    ]


def _told(answer: dict[str, Any], given: dict[str, Any]) -> list[str]:
    where = f"{answer['scope']}, version {answer['version']}"
    if not answer["changed"]:
        return [f"nothing changed: {where} is like that already"]
    now, sources = flat(answer["policy"]), answer["sources"]
    named = [name for name in now if name in flat(given) or name.partition(".")[0] in given]
    width = max((len(name) for name in named), default=0)
    lines = [f"  {name:<{width}}  {figure(now[name])}  ({sources[name]})" for name in named]
    return [f"{where}, in force everywhere within a second:", *lines]


def _version(version: dict[str, Any]) -> list[str]:
    head = f"version {version['version']}  {version['created_at']}  {version['author']}: {why(version['reason'])}"
    changes = [
        f"    {change['name']}: {_was(change['before'])} -> {_was(change['after'])}"
        for change in version["changes"]
    ]
    return [head, *changes]


def _was(value: Any) -> str:  # noqa: ANN401  JSON
    return "not set" if value is None else figure(value)


def figure(value: Any) -> str:  # noqa: ANN401  JSON
    """A value as people write it, and as `bridge policy set` reads it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(value) or "-"
    return f"{value:.10g}" if isinstance(value, float) else str(value)
