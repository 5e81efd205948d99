"""The policy in force, kept for a second at most.

Rules of this file:

- At most one question a second and workspace goes to the database from one process, however many ask: who comes while
  one is on its way waits for that answer, or for its failure.
- No answer is older, by when it was asked for, than a second before the one who gets it asked.
"""

from __future__ import annotations

import json
import threading
import time
import tomllib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bridge.core.errors import BridgeError, InvalidArgument, Unavailable
from bridge.core.policy import Policy, from_data

AGE_S_MAX = 1.0
KEPT_MAX = 1_000
WAIT_S_MAX = 20.0
"""Longer than a question to the database can take."""


class _Asked:
    """One question on its way: an answer, or an error, once `done`."""

    def __init__(self, at: float) -> None:
        self.at, self.done = at, threading.Event()
        self.policy: Policy | None = None
        self.error: BridgeError | None = None

    @property
    def failed(self) -> bool:
        """Whether it brought no answer: the next one asks again."""
        return self.done.is_set() and self.policy is None


class CachedPolicies:
    """The PolicySource: asks `load` again when its copy of a workspace's policy is a second old."""

    def __init__(
        self,
        load: Callable[[str], Policy],
        seed: Policy | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load, self._clock = load, clock
        self._seed = seed or Policy()
        self._asked: OrderedDict[str, _Asked] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def seed(self) -> Policy:
        """The numbers that the bridge was started with."""
        return self._seed

    def current(self, workspace_id: str) -> Policy:
        """The effective policy. Raises what the loader raises when the copy is too old."""
        now = self._clock()
        with self._lock:
            asked = self._asked.get(workspace_id)
            mine = asked is None or now - asked.at >= AGE_S_MAX or asked.failed
            if asked is None or mine:
                asked = _Asked(now)
                self._keep(workspace_id, asked)
        return self._ask(workspace_id, asked) if mine else _answer(asked)

    def forget(self, workspace_id: str) -> None:
        """Whoever asks from now on gets an answer that was asked for after this."""
        with self._lock:
            self._asked.pop(workspace_id, None)

    def _keep(self, workspace_id: str, asked: _Asked) -> None:
        self._asked[workspace_id] = asked
        self._asked.move_to_end(workspace_id)
        while len(self._asked) > KEPT_MAX:
            self._asked.popitem(last=False)

    def _ask(self, workspace_id: str, asked: _Asked) -> Policy:
        try:
            asked.policy = self._load(workspace_id)
        except BridgeError as error:
            asked.error = error
            raise
        finally:
            asked.done.set()
        return asked.policy


def _answer(asked: _Asked) -> Policy:
    """What the question on its way brings."""
    if not asked.done.wait(WAIT_S_MAX):
        raise Unavailable("the policy could not be read in time")
    if asked.policy is None:
        raise asked.error or Unavailable("the policy could not be read: try again")
    return asked.policy


def read_policy(path: Path | None) -> Policy:
    """The policy that a file lays over the defaults: JSON, or TOML by its suffix. Raises InvalidArgument."""
    return Policy() if path is None else from_data(read_numbers(path))


def read_numbers(path: Path) -> dict[str, Any]:
    """The numbers in a file, as they stand there: JSON, or TOML by its suffix. Raises InvalidArgument."""
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (OSError, ValueError) as error:
        raise InvalidArgument(f"{path} holds no policy: {error}", path=str(path)) from error
    if not isinstance(data, dict):
        raise InvalidArgument(f"{path} holds no policy: it must be an object", path=str(path))
    return data
