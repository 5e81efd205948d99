"""The way past the API: straight to the database, for when nothing else of the stack answers. Who did it is audited.

Rules of this file:

- It needs what only the stack's owner has: DATABASE_URL, or the stack's own folder of data.
- It does what the API's commands do, and nothing besides.
"""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bridge.adapters.ids import Uuid7Ids
from bridge.bootstrap import Container, build
from bridge.config import Settings, load_settings
from bridge.core.caller import Caller
from bridge.core.errors import InvalidArgument, NotFound, Unavailable
from bridge.core.names import WORKSPACE_PATTERN, fits
from bridge.core.states import Role

ACTOR = "operator at the console"


@contextmanager
def at_the_console(data: Path | None, workspace: str) -> Iterator[tuple[Container, Caller]]:
    """The database, and the operator who sits here. Raises Unavailable with what to do, NotFound for no workspace."""
    with console_of(stack_settings(data), workspace) as found:
        yield found


@contextmanager
def console_of(settings: Settings, workspace: str) -> Iterator[tuple[Container, Caller]]:
    """As at_the_console, for settings that say where the database is."""
    if not fits(WORKSPACE_PATTERN, workspace):
        raise InvalidArgument(f"{workspace!r} is no name of a workspace", path="workspace")
    container = build(settings, process="cli")
    who = f"{ACTOR} ({_os_user()})"
    caller = Caller(workspace, who, Role.OPERATOR, "console", "console", Uuid7Ids().new("req_"))
    try:
        try:
            if workspace not in container.keeping.workspaces():
                raise NotFound(f"there is no workspace {workspace} in this database")
        except Unavailable as error:
            detail = (
                f"no database answers ({error.detail}): give DATABASE_URL, or --data of a stack whose database runs; "
                "where it is down, nothing is woken anyway"
            )
            raise Unavailable(detail) from error
        yield container, caller
    finally:
        container.close()


def stack_settings(data: Path | None) -> Settings:
    """Those of the stack: its own word for where its database is, unless DATABASE_URL says so."""
    settings = load_settings(data_dir=data)
    if settings.database_url is not None:
        return settings
    try:
        url = json.loads(settings.stack_file.read_text())["database_url"]
    except (OSError, ValueError, KeyError):
        return settings
    return load_settings(data_dir=data, database_url=url)


def _os_user() -> str:
    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
