"""`bridge doctor runtime codex`: is this program woken safely here? The conformance suite, for a person and as JSON.

Rules of this file:
- Nothing is decided here: the suite tries, this prints. Exit code 0 when nothing failed, 1 otherwise.
- What a report says of others' programs passes the quoting before it meets a terminal.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Annotated, Final

import structlog
import typer

from bridge.adapters.presets import load_preset
from bridge.adapters.presets.command import PresetError
from bridge.cli.words import columns, span, why
from bridge.config import load_settings
from bridge.conformance.own import OWN
from bridge.conformance.run import ADAPTERS, Chosen, OwnWanted, all_traps, try_own, try_preset
from bridge.conformance.suite import OfAdapter, Report
from bridge.conformance.traps import Mark, Tried

KNOWN: Final = (*ADAPTERS, OWN)
SIGNS: Final = {Mark.PASSED: "✓", Mark.FAILED: "✗", Mark.SKIPPED: "–"}  # noqa: RUF001  a dash is meant

app = typer.Typer(no_args_is_help=True, help="Check what the bridge depends on.")


@app.callback()
def _doctor() -> None:
    """Check what the bridge depends on."""


@app.command()
def runtime(
    preset: Annotated[
        str | None, typer.Argument(help="The preset: line, codex, claude, or your own.")
    ] = None,
    adapter: Annotated[str | None, typer.Option(help=f"Only this one: {', '.join(KNOWN)}.")] = None,
    trap: Annotated[str | None, typer.Option(help="Only the trap of this name.")] = None,
    program: Annotated[
        str | None, typer.Option(help="Your program, where the preset's name for it is not on the PATH.")
    ] = None,
    cwd: Annotated[
        Path | None,
        typer.Option(help="The folder your program is started in; not set: an empty one.", exists=True),
    ] = None,
    no_program: Annotated[
        bool, typer.Option("--no-program", help="Fake programs alone: yours is not started.")
    ] = False,
    resume_unknown: Annotated[
        bool,
        typer.Option(
            "--resume-unknown",
            help="Have it resume a session that there is not; it may ask its model.",
        ),
    ] = False,
    listing: Annotated[bool, typer.Option("--list", help="List the traps; nothing is started.")] = False,
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder of the stack's data (or BRIDGE_DATA).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Try every known trap on the adapters of this machine, with fake programs that look like the preset's.

    Then your own program, if it is installed: it is asked for its --version; started in a terminal of the doctor's
    (110 x 32, an empty folder or --cwd, your environment and configuration), given a draft that is never sent, and
    ended; and, for codex, claude and gemini, asked to resume a session that there is not, which they refuse before
    they ask a model. No Enter is pressed, no model is called. Exit code 0 when nothing failed.
    """
    if listing:
        _list(as_json=as_json)
        return
    known = [one.name for one in all_traps()]
    if adapter is not None and adapter not in KNOWN:
        raise typer.BadParameter(f"there is {', '.join(KNOWN)}", param_hint="--adapter")
    if trap is not None and trap not in known:
        raise typer.BadParameter("there is no such trap (see --list)", param_hint="--trap")
    if preset is None:
        raise typer.BadParameter("name a preset", param_hint="PRESET")
    settings = load_settings(data_dir=data)
    presets_dir = settings.presets_dir
    try:
        load_preset(preset, presets_dir)
    except PresetError as error:
        raise typer.BadParameter(str(error), param_hint="PRESET") from error
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    progress = _Progress()
    found = [] if adapter == OWN else try_preset(preset, presets_dir, Chosen(adapter, trap), progress.told)
    path = version = None
    if adapter in {None, OWN} and trap is None and not no_program:
        wanted = OwnWanted(program, cwd, resume_unknown)
        own, path, version = try_own(preset, presets_dir, wanted, progress.told)
        found.append(own)
    progress.over()
    report = Report(preset, path, version, tuple(found))
    print(json.dumps(report.as_json()) if as_json else "\n".join(_page(report)))
    raise typer.Exit(1 if report.count(Mark.FAILED) else 0)


class _Progress:
    """One line on the terminal that says how far it is; nothing where nobody looks."""

    def __init__(self) -> None:
        self._shown, self._count = sys.stderr.isatty(), 0

    def told(self, adapter: str, tried: Tried) -> None:
        """One more was tried."""
        self._count += 1
        if self._shown:
            print(
                f"\r\x1b[K{self._count} tried, {adapter}: {tried.name}", end="", file=sys.stderr, flush=True
            )

    def over(self) -> None:
        """Take the line away."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _list(*, as_json: bool) -> None:
    traps = all_traps()
    if as_json:
        rows = [
            {"name": one.name, "kind": one.kind.value, "only": sorted(one.only), "what": one.what}
            for one in traps
        ]
        print(json.dumps(rows))
        return
    table = [(one.kind.value, one.name, one.what) for one in traps]
    print("\n".join(columns(("kind", "trap", "what goes wrong"), table)))


def _page(report: Report) -> list[str]:
    lines = [f"{report.preset}: {report.program or 'fake programs alone'}"]
    if report.version:
        lines[0] += f", version {why(report.version)}"
    for one in report.adapters:
        lines += ["", *_adapter(one)]
    counts = ", ".join(f"{report.count(mark)} {mark.value}" for mark in Mark if report.count(mark))
    return [*lines, "", counts or "nothing was tried"]


def _adapter(one: OfAdapter) -> list[str]:
    if not one.available:
        return [f"{one.adapter}: not tried, {why(one.why)}"]
    width = max((len(tried.name) for tried in one.traps), default=0)
    lines = [one.adapter]
    for tried in one.traps:
        lines.append(f"  {SIGNS[tried.result]} {tried.name:<{width}}  {span(tried.s)}")
        if tried.result is not Mark.PASSED:
            lines.append(f"      {why(tried.why)}")
        if tried.result is Mark.FAILED:
            lines.append(f"      ({tried.what})")
    return lines
