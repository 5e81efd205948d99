"""The [live] of presets: checked before it is used, and of one form with what the terminal knows."""

from dataclasses import fields
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from bridge.adapters.presets import load_preset, preset_of
from bridge.adapters.presets.command import PresetError
from bridge.adapters.presets.live import LiveData, read_live
from bridge.terminal import Live

LIVE = {"programs": ["it"], "native": {"open_file": "/([a-z]+)[.]lock$"}}
QUEUE = {"argv": ["{program}", "{native_id}", "{line}"], "timeout_s": 5.0, "refused": []}


def test_native_ways_are_those_that_the_terminal_knows() -> None:
    for name in ("codex", "claude"):
        data = load_preset(name).live
        assert data is not None
        assert Live(**data.arguments()).has_own_id
    assert {field.name for field in fields(Live)} == LiveData().arguments().keys()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"door": 1}, "unknown fields: door"),
        ({"programs": ["/usr/bin/it"]}, "names, without a path"),
        ({"programs": "it"}, "a list of texts"),
        ({"append": ["{hooks_file}"]}, "no \\[live.hooks\\]"),
        ({"append": ["{native_id}"]}, "unknown placeholders: native_id"),
        ({"native": {"open_file": "/lock$"}}, "one group"),
        ({"native": {"open_file": "("}}, "no regular expression"),
        ({"native": {"open_file": "(a)", "more": "b"}}, "all of them and nothing else"),
        ({"queue": QUEUE}, "need \\[live.native\\]"),
        (LIVE | {"queue": QUEUE | {"timeout_s": 0}}, "seconds up to 30"),
        (LIVE | {"queue": QUEUE | {"argv": ["{python}"]}}, "unknown placeholders: python"),
        (LIVE | {"queue": QUEUE | {"refused": ["("]}}, "no regular expression"),
        (LIVE | {"record": {"open_file": "a"}}, "open_file, turn"),
    ],
)
def test_native_ways_that_would_fail_at_a_terminal_are_refused(data: dict[str, Any], says: str) -> None:
    with pytest.raises(PresetError, match=says):
        read_live("mine", data)


def test_a_program_is_known_by_its_name_and_the_hosts_own_preset_first(tmp_path: Path) -> None:
    assert preset_of({"codex"}, tmp_path) == "codex"
    assert preset_of({"bash"}, tmp_path) == "line"
    screen = (resources.files("bridge.adapters.presets") / "line.toml").read_text().partition("\n")[2]
    text = screen.replace('name = "line"', 'name = "mine"') + '\n[live]\nprograms = ["codex"]\n'
    (tmp_path / "mine.toml").write_text(text)
    (tmp_path / "broken.toml").write_text("nonsense")
    assert preset_of({"codex"}, tmp_path) == "mine"
    assert preset_of({"claude"}, tmp_path) == "claude"
