"""Presets: argv from templates, and files that are checked before they are used."""

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.adapters.presets import TABLES, NoScreenError, UnknownPresetError, load_preset, preset_names
from bridge.adapters.presets.catalogue import Catalogue
from bridge.adapters.presets.command import PLACEHOLDERS, ArgumentError, PresetError, fill, read_command
from bridge.config import Settings
from tests.runs.world import World, toml

NAMES = sorted(PLACEHOLDERS)
VALUES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=30)
PLAIN = st.text(st.sampled_from("ab -'\"\\$`;|&{}\n*?~"), max_size=8)
ARGUMENTS = st.lists(st.one_of(PLAIN, st.sampled_from(NAMES).map("{{{}}}".format)), min_size=1, max_size=4)


@given(st.dictionaries(st.just("native_id"), VALUES, min_size=1), st.lists(PLAIN, max_size=4))
def test_a_value_stays_one_argument_whatever_is_in_it(values: dict[str, str], around: list[str]) -> None:
    value = values["native_id"]
    template = ("program", *around, "--session={native_id}", "x{native_id}y")
    assert fill(template, values) == ["program", *around, f"--session={value}", f"x{value}y"]


@given(st.lists(ARGUMENTS, min_size=1, max_size=4), st.fixed_dictionaries(dict.fromkeys(NAMES, VALUES)))
def test_values_never_become_options_and_are_never_filled_again(
    template: list[list[str]], values: dict[str, str]
) -> None:
    arguments = tuple("".join(parts) for parts in template)
    try:
        filled = fill(arguments, values)
    except ArgumentError:
        starts = [next((part for part in parts if part), "") for parts in template]
        assert any(values.get(start[1:-1], "").startswith("-") for start in starts)
        return
    assert len(filled) == len(arguments)
    for parts, argument in zip(template, filled, strict=True):
        expected = "".join(values.get(part[1:-1], part) for part in parts)
        assert argument == expected
        written = parts[0] or "".join(parts)
        assert not argument.startswith("-") or written.startswith("-")


@pytest.mark.parametrize("value", ["-", "--yes", "-c evil"])
def test_a_value_that_would_become_an_option_is_refused(value: str) -> None:
    with pytest.raises(ArgumentError, match="would become the option"):
        fill(("program", "{session_id}"), {"session_id": value})
    assert fill(("program", "--id={session_id}"), {"session_id": value}) == ["program", f"--id={value}"]


@pytest.mark.parametrize("value", ["", "a\0b"])
def test_a_value_that_no_argument_can_hold_is_refused(value: str) -> None:
    with pytest.raises(ArgumentError, match="session_id"):
        fill(("program", "{session_id}"), {"session_id": value})


def test_the_agent_gets_exactly_these_arguments(world: World) -> None:
    odd = ["a b", "'\"", "$HOME", "`id`", "; true", "*", '{"json": 1}', "", "new\nline"]
    plain = [argument for argument in odd if argument]
    world.preset("reads", "{native_id}", *plain, "{agent_id}")
    spec = world.spec(agent_id="x y\n'z'")
    world.book.start(spec)
    world.ended(spec)
    said = json.loads(world.output(spec).splitlines()[1])
    assert said["argv"][3:] == [*plain, "x y\n'z'"]


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ({}, "needs resume or spawn"),
        ({"spawn": []}, "a list of arguments"),
        ({"spawn": "true"}, "a list of arguments"),
        ({"spawn": ["true", 1]}, "a list of arguments"),
        ({"spawn": ["true", ""]}, "none is empty"),
        ({"spawn": ["true", "{prompt}"]}, "unknown placeholders: prompt"),
        ({"spawn": ["{agent_id}"]}, "the program is fixed"),
        ({"spawn": ["true"], "shell": True}, "unknown fields: shell"),
        ({"spawn": ["true"], "cwd": "here"}, "absolute path"),
        ({"spawn": ["true"], "native": "mine"}, "'chosen'"),
        ({"spawn": ["true"], "native": "told"}, "needs [command.identity]"),
        ({"spawn": ["true"], "environment": ["A=b"]}, "list of names"),
        ({"spawn": ["true"], "environment": ["BRIDGE_TOKEN"]}, "BRIDGE_... is not for it"),
        ({"spawn": ["true"], "set": {"BRIDGE_URL": "x"}}, "BRIDGE_... is not for it"),
        ({"spawn": ["true"], "set": {"A": 1}}, "gives texts"),
        ({"spawn": ["true"], "identity": {"match": "text", "field": "id"}}, "match = 'json'"),
        ({"spawn": ["true"], "identity": {"match": "json"}}, "field = 'NAME'"),
        ({"spawn": ["true"], "identity": {"match": "json", "field": "id", "event": {"a": []}}}, "event are"),
    ],
)
def test_a_command_that_is_not_right_is_refused_in_words(command: dict[str, Any], why: str) -> None:
    with pytest.raises(PresetError) as refused:
        read_command("mine", command)
    assert why in str(refused.value)


def test_a_hosts_own_preset_wins_and_needs_no_screen(world: World) -> None:
    folder = world.settings.presets_dir
    (folder / "line.toml").write_text('name = "line"\n[command]\nspawn = ["true"]\n')
    preset = load_preset("line", folder)
    assert preset.command is not None
    assert preset.command.rungs == ["spawn"]
    with pytest.raises(NoScreenError, match="no \\[screen\\]"):
        _ = preset.screen
    assert load_preset("line").screen.prompt
    assert preset_names(folder / "nowhere") == preset_names()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name = 'mine'",
        "name = 'other'\n[command]\nspawn = ['true']",
        "not toml",
        "name = 'mine'\nscreen = 1",
    ],
)
def test_a_file_that_is_not_right_is_refused(world: World, text: str) -> None:
    (world.settings.presets_dir / "mine.toml").write_text(text)
    with pytest.raises(PresetError, match="preset mine"):
        load_preset("mine", world.settings.presets_dir)


@pytest.mark.parametrize("what", ["file", "directory"])
def test_what_others_may_write_is_refused(world: World, what: str) -> None:
    world.preset("says")
    folder = world.settings.presets_dir
    (folder if what == "directory" else folder / "scripted.toml").chmod(0o777)
    with pytest.raises(PresetError, match="may be written by others"):
        load_preset("scripted", folder)
    folder.chmod(0o700)


@pytest.mark.parametrize("name", ["../scripted", "scripted.toml", "SCRIPTED", ""])
def test_a_preset_has_the_name_of_its_file(world: World, name: str) -> None:
    world.preset("says")
    with pytest.raises(UnknownPresetError, match=r"there is .*line, scripted"):
        load_preset(name, world.settings.presets_dir)


def test_presets_stand_with_the_data_unless_said_otherwise(tmp_path: Path) -> None:
    assert Settings(data_dir=tmp_path).presets_dir == tmp_path / "presets"
    assert Settings(data_dir=tmp_path, presets_dir=tmp_path / "other").presets_dir == tmp_path / "other"


def test_the_examples_of_the_docs_load(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/howto/presets.md").read_text()
    examples = [block.partition("```")[0] for block in page.split("```toml\n")[1:]]
    whole = [example for example in examples if example.startswith("name")]
    assert len(whole) > 1
    for part in (example for example in examples if example not in whole):
        [(table, data)] = tomllib.loads(part).items()
        TABLES[table].read("docs", data)
    for example in whole:
        name = example.split('"')[1]
        (tmp_path / f"{name}.toml").write_text(example)
        preset = load_preset(name, tmp_path)
        assert preset.command is not None
        assert preset.command.rungs


class Closed(type(Path())):  # type: ignore[misc]
    """A directory that is there, and cannot be looked into."""

    def iterdir(self) -> Iterator[Path]:
        raise PermissionError(13, "Permission denied", str(self))


def test_a_directory_that_cannot_be_read_takes_no_host_down(tmp_path: Path) -> None:
    closed = Closed(tmp_path)
    assert preset_names(closed) == preset_names()
    assert Catalogue(closed).startable() == Catalogue(tmp_path / "nowhere").startable()


def test_toml_of_the_tests_is_toml() -> None:

    table = {"name": "x", "command": {"spawn": ["a\n", '"'], "set": {"A": "\x7f"}, "identity": {"event": {}}}}
    assert tomllib.loads(toml(table)) == table
