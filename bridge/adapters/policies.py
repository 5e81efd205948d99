"""The policy in force, kept for a second at most."""

from __future__ import annotations

import json
import threading
import time
import tomllib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bridge.core.errors import InvalidArgument
from bridge.core.policy import Policy, from_data

AGE_S_MAX = 1.0
KEPT_MAX = 1_000


class CachedPolicies:
    """The PolicySource: asks `load` again when its copy of a workspace's policy is a second old."""

    def __init__(self, load: Callable[[str], Policy], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._load, self._clock = load, clock
        self._kept: OrderedDict[str, tuple[float, Policy]] = OrderedDict()
        self._lock = threading.Lock()

    def current(self, workspace_id: str) -> Policy:
        """The effective policy. Raises what the loader raises when the copy is too old."""
        asked_at = self._clock()
        with self._lock:
            at, policy = self._kept.get(workspace_id, (float("-inf"), None))
        if policy is not None and asked_at - at < AGE_S_MAX:
            return policy
        policy = self._load(workspace_id)
        with self._lock:
            self._kept[workspace_id] = (asked_at, policy)
            self._kept.move_to_end(workspace_id)
            while len(self._kept) > KEPT_MAX:
                self._kept.popitem(last=False)
        return policy


def read_policy(path: Path | None) -> Policy:
    """The policy that a file lays over the defaults: JSON, or TOML by its suffix. Raises InvalidArgument."""
    if path is None:
        return Policy()
    try:
        text = path.read_text(encoding="utf-8")
        data: dict[str, Any] = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (OSError, ValueError) as error:
        raise InvalidArgument(f"{path} holds no policy: {error}", path=str(path)) from error
    return from_data(data)
