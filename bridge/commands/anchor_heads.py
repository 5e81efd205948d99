"""Anchor the heads of all chains that have moved: what was there then can be missed later, with its end cut off too."""

from __future__ import annotations

from bridge.db.anchor_store import hold_anchors, moved_heads, store_anchor
from bridge.db.deps import Deps


def anchor_heads(deps: Deps, workspace_id: str) -> tuple[int, bool]:
    """One anchor of the workspace: over how many heads, and whether there are more to anchor. No anchor over none."""
    with deps.unit(workspace_id, actor="tick.anchors") as uow:
        last = hold_anchors(uow)
        if last is None:
            return 0, False
        now = uow.now(last.anchored_to)
        moved = moved_heads(uow, last, now)
        if moved.marks:
            store_anchor(uow, last, moved, now)
    return len(moved.marks), moved.more
