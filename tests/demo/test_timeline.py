"""The timeline: one line for each happening, in three forms with the same content."""

import io
import json

from rich.console import Console

from bridge.demo.timeline import Form, Happening, Timeline, told


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def timeline(form: Form) -> tuple[Timeline, list[str], Clock]:
    lines: list[str] = []
    clock = Clock()
    return Timeline(form, lines.append, clock=clock), lines, clock


def test_a_line_has_time_scene_who_what_and_evidence_in_columns() -> None:
    line = told(Happening(3.14159, 2, "human", "types", "no Enter yet")).plain
    assert line.split() == ["3.14", "s", "2", "human", "types", "no", "Enter", "yet"]
    assert line.index("types") == told(Happening(1.0, 5, "executor", "types")).plain.index("types")


def test_what_belongs_to_no_scene_has_none() -> None:
    assert told(Happening(0.0, 0, "demo", "starts")).plain.split() == ["0.00", "s", "demo", "starts"]


def test_what_somebody_was_told_stands_below_in_its_own_lines() -> None:
    told_by, lines, _ = timeline(Form.PLAIN)
    told_by.tell(6, "executor", "was given a prompt")
    told_by.quote(6, ["You are", "", "To read:"])
    quoted = lines[1].split("\n")
    assert [line.strip() for line in quoted] == ["| You are", "|", "| To read:"]
    assert quoted[0].index("|") == lines[0].index("was")


def test_a_long_text_makes_no_second_line() -> None:
    out = io.StringIO()
    console = Console(file=out, width=40, force_terminal=True, color_system=None)
    Timeline(Form.COLOUR, lambda _: None, console=console).tell(1, "bridge", "x" * 300, "y" * 300)
    assert out.getvalue().count("\n") == 1


def test_time_is_counted_from_the_start() -> None:
    told_by, lines, clock = timeline(Form.PLAIN)
    clock.now += 12.5
    told_by.tell(1, "ci", "posts")
    assert lines[0].split()[0] == "12.50"


def test_json_has_a_line_for_everything() -> None:
    told_by, lines, clock = timeline(Form.JSON)
    told_by.title(1, "A scene")
    clock.now += 1
    told_by.tell(1, "ci", "posts", "message 1")
    told_by.page("Figures, and more", ["as people read it"], {"messages": 1})
    assert [json.loads(line) for line in lines] == [
        {"kind": "scene", "scene": 1, "title": "A scene"},
        {"kind": "happened", "at_s": 1.0, "scene": 1, "who": "ci", "what": "posts", "evidence": "message 1"},
        {"kind": "figures", "data": {"messages": 1}},
    ]


def test_plain_text_has_no_colours() -> None:
    told_by, lines, _ = timeline(Form.PLAIN)
    told_by.title(1, "A scene")
    told_by.tell(1, "executor", "is woken", "taken")
    told_by.page("Next", ["bridge up"], {})
    assert "\x1b" not in "".join(lines)
