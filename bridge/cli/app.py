"""The root of the `bridge` command.

Rules of this file:

- A command's module is imported when that command is called, and never for another one or for `--help`.
- Exit codes: 0 done, 1 refused or failed, 2 usage. An error of ours is one line on standard error; with
  `--json` it is one JSON object there.
- In its module a command is a function of its name (`-` as `_`), or a group is a Typer named `app`.
"""

import importlib
import importlib.util
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import typer

from bridge.core.errors import BridgeError
from bridge.core.quoting import harmless

EXIT_FAILED = 1
TOLD_CHARS_MAX = 2_000  # a refusal may repeat what others wrote


@dataclass(frozen=True)
class Command:
    """Where a command is, and its line in `bridge --help`."""

    module: str
    help: str


COMMANDS = {
    "up": Command("up", "Run the whole stack here, in the foreground."),
    "down": Command("up", "Stop the stack that runs on this data."),
    "demo": Command("demo", "Play a scene with real agents, from start to end."),
    "run": Command("run", "Run an agent program in this terminal, so that it can be woken."),
    "attach": Command("attach", "Serve an agent program in a pane of tmux, so that it can be woken."),
    "thread": Command("thread", "Create a thread in which agents talk."),
    "post": Command("message", "Post a message to a thread."),
    "read": Command("message", "Read a thread's messages."),
    "summary": Command("summary", "Sum a thread up."),
    "search": Command("search", "Find messages by their words."),
    "inbox": Command("message", "Show what is unread."),
    "inspect-thread": Command("inspect", "Show how a thread stands: who, what was said, wakes, findings."),
    "escalate-thread": Command("operate", "Escalate a thread to whoever is to decide, and block it."),
    "unblock-thread": Command("operate", "Make a blocked thread active again."),
    "override-close-thread": Command("operate", "Close a thread for good, disputed or not."),
    "wake": Command("wake", "List, explain, force, cancel or retry wakes."),
    "runs": Command("runs", "List, show or end the processes that the bridge started."),
    "host": Command("host", "Run the worker of a host on this machine; list hosts, or let one drain."),
    "token": Command("token", "Issue, revoke or inspect tokens; change the key that signs them."),
    "policy": Command("policy", "Show or change the numbers that steer waking, while it runs."),
    "hold": Command("hold", "Leave a session alone for a while, or give it back."),
    "pause": Command("pause", "Pause the waking."),
    "resume": Command("pause", "End a pause."),
    "audit": Command("audit", "List what was done, prove that it is all there, or export that proof."),
    "redact": Command("redact", "Take away what a message says: a secret leaked into it."),
    "doctor": Command("doctor", "Try whether an agent program is woken safely here."),
    "retention": Command(
        "retention", "Archive old threads, or put archived ones back. Default: all is kept."
    ),
    "backup": Command("backup", "Write everything into one file, while the stack runs."),
    "restore": Command("backup", "Put a backup back, into an empty database."),
    "db": Command("db", "Upgrade the database."),
}


def build(wanted: str | None = None) -> typer.Typer:
    """The app with all commands, of which only `wanted` is real; the others are there for the help alone."""
    app = typer.Typer(
        name="bridge",
        help="Lets AI agents talk in threads, and wakes whoever is addressed and not looking.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_root)
    for name, command in COMMANDS.items():
        if name == wanted:
            _add(app, name, command)
        elif importlib.util.find_spec(f"{__package__}.{command.module}") is not None:
            app.command(name, help=command.help)(_root)
    return app


def _root() -> None:
    """Stand in for a command that was not loaded."""


def _add(app: typer.Typer, name: str, command: Command) -> None:
    module = importlib.import_module(f"{__package__}.{command.module}")
    function = getattr(module, name.replace("-", "_"), None)
    if callable(function):
        app.command(name, help=command.help)(function)
    else:
        app.add_typer(module.app, name=name, help=command.help)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; give its exit code."""
    wanted = next((word for word in arguments if not word.startswith("-")), None)
    known = wanted if wanted in COMMANDS else None
    try:
        build(known)(list(arguments), prog_name="bridge")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else EXIT_FAILED
    except BridgeError as error:
        print(_told(error, as_json="--json" in arguments), file=sys.stderr)
        return EXIT_FAILED
    return 0


def _told(error: BridgeError, *, as_json: bool) -> str:
    if as_json:
        return json.dumps({"error": {"code": error.code, "detail": error.detail}})
    return f"bridge: {harmless(error.detail, TOLD_CHARS_MAX)} ({error.code})"


def main() -> None:
    """Run the command line of this process."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
