"""The [screen] of a preset: two kinds, each with its own fields, and refused with a reason when wrong."""

import dataclasses
import tomllib
from pathlib import Path
from typing import Any

import pytest

from bridge.adapters.presets import load_preset
from bridge.adapters.presets.command import PresetError
from bridge.adapters.presets.screen import STYLES, read_screen
from bridge.terminal.box import BoxJudge
from bridge.terminal.judge import judge_for
from bridge.terminal.line import LineJudge
from bridge.terminal.screen import Screen
from bridge.terminal.verdict import Rules

BUILT_IN = Path(load_preset.__code__.co_filename).parent
LINE = tomllib.loads((BUILT_IN / "line.toml").read_text())["screen"]
BOX = tomllib.loads((BUILT_IN / "codex.toml").read_text())["screen"]


@pytest.mark.parametrize(("data", "judge"), [(LINE, LineJudge), (BOX, BoxJudge)])
def test_the_kind_says_which_judge_reads_it(data: dict[str, Any], judge: type) -> None:
    assert isinstance(judge_for(Rules(**read_screen("mine", data).arguments())), judge)


def test_what_a_kind_does_not_have_is_as_the_rules_have_it() -> None:
    """Nothing of the one kind leaks into the other by a default of the preset's own."""
    defaults = {field.name: field.default for field in dataclasses.fields(Rules)}
    read = read_screen("mine", LINE).arguments()
    assert {key: read[key] for key in read.keys() - LINE.keys()} == {
        key: defaults[key] for key in read.keys() - LINE.keys()
    }


@pytest.mark.parametrize("data", [LINE, BOX], ids=["line", "box"])
def test_every_field_of_its_kind_has_to_be_there(data: dict[str, Any]) -> None:
    for gone in data.keys() - {"kind", "settled_s"}:
        with pytest.raises(PresetError, match=f"wrong, missing or unknown fields: .*{gone}"):
            read_screen("mine", {key: value for key, value in data.items() if key != gone})


@pytest.mark.parametrize(
    ("data", "change", "said"),
    [
        (BOX, {"kind": "window"}, "kind is one of box, line"),
        (BOX, {"kind": 1}, "kind is one of"),
        (BOX, {"kind": "line"}, "wrong, missing or unknown fields: .*marker.*prompt"),
        (LINE, {"marker": ">"}, "unknown fields: marker"),
        (BOX, {"prompt": ">"}, "unknown fields: prompt"),
        (BOX, {"settled_s": "soon"}, "settled_s is a number"),
        (BOX, {"settled_s": True}, "settled_s is a number"),
        (BOX, {"settled_s": -1}, "settled_s is a number"),
        (BOX, {"settled_s": float("nan")}, "settled_s is a number"),
        (BOX, {"marker": ""}, "marker is one letter"),
        (BOX, {"marker": " "}, "marker is one letter"),
        (BOX, {"marker": "ab"}, "marker is one letter"),
        (BOX, {"rule": "──"}, "rule is one letter"),
        (BOX, {"marker_styles": ["red"]}, "marker_styles are of"),
        (BOX, {"marker_styles": [1]}, "marker_styles are of"),
        (BOX, {"placeholder": "grey"}, "placeholder is one of"),
        (BOX, {"text_column": 0}, "text_column is from 1"),
        (BOX, {"rows_below": -1}, "rows_below from 0"),
        (BOX, {"working": ["("]}, "is no regular expression"),
        (BOX, {"questions": [7]}, "is no regular expression"),
    ],
)
def test_a_value_that_cannot_be_is_refused(data: dict[str, Any], change: dict[str, Any], said: str) -> None:
    with pytest.raises(PresetError, match=said):
        read_screen("mine", {**data, **change})


def test_the_styles_it_may_name_are_those_that_a_screen_tells() -> None:
    screen = Screen(4, 2)
    screen.feed(b"\x1b[1;2;3;7mx")
    assert screen.style(0, 0) == STYLES
