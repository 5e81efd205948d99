"""How the fake terminal programs draw themselves: like a line program, and like the boxes people use.

Rules of this file:
- Pure: what is in the box and what goes on in, the whole screen as text with escape codes out.
- The boxes are drawn as the real ones were recorded: glyphs, columns, styles, cursor.
- Beside standard library names nothing is imported: the programs run in a bare interpreter.
"""

import textwrap
from dataclasses import dataclass, field

BOLD, DIM, INVERSE, REST = "\x1b[1m", "\x1b[2m", "\x1b[7m", "\x1b[0m"
GREY = "\x1b[38;5;246m"
CODEX, CLAUDE = "\u203a", "\u276f"
SHOW, HIDE = "\x1b[?25h", "\x1b[?25l"
TEXT_AT = 2
"""The column where text begins in the boxes."""


@dataclass
class Scene:
    """What is to be seen: the draft, or what stands in its place, and what the program does."""

    draft: str = ""
    placeholder: str | None = None
    ghost: str = ""
    ghost_dim: bool = True
    state: str = "idle"
    history: list[str] = field(default_factory=list)
    tick: int = 0
    prompt: str = "> "


def draw(look: str, scene: Scene, cols: int, rows: int) -> str:
    """The whole screen, cursor placed last."""
    if scene.state == "pager":
        return _pager(rows)
    if look == "codex":
        lines, cursor, shown = _codex(scene, cols)
    elif look == "claude":
        lines, cursor, shown = _claude(scene, cols)
    else:
        lines, cursor, shown = _line(scene, cols)
    over = max(0, len(lines) - rows)
    x, y = cursor
    out = "\x1b[H\x1b[2J" + "\r\n".join(lines[over:])
    if look not in {"codex", "claude"} and x < 0:  # the cursor stays behind what was written last
        return out + (SHOW if shown else HIDE)
    return out + f"\x1b[{y - over + 1};{x + 1}H" + (SHOW if shown else HIDE)


def _wrapped(text: str, cols: int) -> list[str]:
    rows: list[str] = []
    for line in text.split("\n"):
        rows += textwrap.wrap(line, max(4, cols - 4), drop_whitespace=False, break_long_words=True) or [""]
    return rows


def _cut(text: str, cols: int) -> str:
    return text[: max(0, cols - 1)]


def _codex(scene: Scene, cols: int) -> tuple[list[str], tuple[int, int], bool]:
    lines = [_cut("  >_ OpenAI Codex (v0.169.0)", cols), _cut("     /srv/work", cols), ""]
    for said in scene.history:
        lines += [f"{BOLD}{DIM}{CODEX} {REST}\x1b[48;5;238m{_cut(said, cols - 2)}{REST}", ""]
    if scene.state == "dialog":
        lines += [
            "",
            _cut("  Would you like to run the following command?", cols),
            "",
            _cut("  $ rm -rf build", cols),
        ]
        lines += [
            "",
            _cut(f"{BOLD}{CODEX} 1. Yes, proceed (y){REST}", cols + 8),
            _cut("  2. No, and tell Codex what to do", cols),
        ]
        lines += ["", _cut("  Press enter to confirm or esc to cancel", cols)]
        return lines, (0, len(lines) - 1), False
    if scene.state == "busy":
        lines += [f"{DIM}◦ Working ({scene.tick // 10}s • {REST}{BOLD}esc{REST}{DIM} to interrupt){REST}"]
    if scene.state == "idle" and scene.tick:
        lines += [f"{DIM}{'⠋⠙⠹⠸⠼⠴'[scene.tick % 6]} tip of the day{REST}"]
    lines += ["", ""]
    box, cursor = _box(scene, cols, f"{BOLD}{CODEX}{REST} ", "Ask Codex to do anything")
    top = len(lines)
    lines += [*box, "", f"  \x1b[38;5;223m{_cut('mock-model default', cols - 2)}{REST}"]
    return lines, (cursor[0], top + cursor[1]), True


def _claude(scene: Scene, cols: int) -> tuple[list[str], tuple[int, int], bool]:
    rule = "\x1b[38;5;244m" + "─" * cols + REST
    lines = [_cut("╭─── Claude Code v2.1.197 ───", cols), _cut("│ /srv/work", cols), ""]
    for said in scene.history:
        lines += [f"\x1b[38;5;239m\x1b[48;5;237m{CLAUDE} \x1b[38;5;231m{_cut(said, cols - 2)}{REST}", ""]
    if scene.state == "dialog":
        lines += [
            rule,
            _cut(" Bash command", cols),
            "",
            _cut("   rm -rf build", cols),
            "",
            _cut(" Do you want to proceed?", cols),
        ]
        lines += [
            _cut(f" {CLAUDE} 1. Yes", cols),
            _cut("   2. No", cols),
            "",
            _cut(" Esc to cancel · Tab to amend", cols),
        ]
        return lines, (0, len(lines) - 1), False
    if scene.state == "busy":
        lines += [f"\x1b[38;5;174m{'·✢✳✶✻✽'[scene.tick % 6]} Crunching… {GREY}(esc to interrupt){REST}", ""]
    if scene.state == "idle" and scene.tick:
        lines += [f"{GREY}{'·✢✳✶✻✽'[scene.tick % 6]} new version available{REST}", ""]
    box, cursor = _box(scene, cols, f"{CLAUDE}\xa0", None)
    top = len(lines) + 1
    foot = "  esc to interrupt" if scene.state == "busy" else "  ? for shortcuts · ← for agents"
    lines += [rule, *box, rule, f"{GREY}{_cut(foot, cols)}{REST}"]
    return lines, (cursor[0], top + cursor[1]), False


def _box(scene: Scene, cols: int, mark: str, usual: str | None) -> tuple[list[str], tuple[int, int]]:
    """The rows of the input box, and where its cursor stands in them."""
    if not scene.draft:
        ghost = scene.ghost or (usual if scene.placeholder is None else scene.placeholder) or ""
        style = DIM if scene.ghost_dim or not scene.ghost else ""
        shown = (
            f"{style}{_cut(ghost, cols - 2)}{REST}" if ghost else f"{INVERSE} {REST}" if usual is None else ""
        )
        return [mark + shown], (TEXT_AT, 0)
    rows = _wrapped(scene.draft, cols)
    tail = f"{INVERSE} {REST}" if usual is None else ""
    lines = [(mark if number == 0 else "  ") + row for number, row in enumerate(rows)]
    return [*lines[:-1], lines[-1] + tail], (TEXT_AT + len(rows[-1]), len(rows) - 1)


def _line(scene: Scene, cols: int) -> tuple[list[str], tuple[int, int], bool]:
    """A line program: output above, the prompt on the last line; the emulator wraps what is too long."""
    lines = [_cut(f"got {said}", cols) for said in scene.history]
    if scene.state == "idle" and scene.tick:
        lines = [_cut(f"({'-/|'[scene.tick % 3]})", cols), *lines]
    if scene.state == "busy":
        return [*lines, _cut("working" + "." * (scene.tick % 5), cols)], (-1, 0), True
    if scene.state == "dialog":
        return [*lines, _cut("Delete everything? [y/N] ", cols)], (-1, 0), True
    if scene.state == "secret":
        return [*lines, "Password: "], (-1, 0), True
    ghost = f"{DIM if scene.ghost_dim else ''}{scene.ghost}{REST}" if scene.ghost and not scene.draft else ""
    draft = scene.draft.replace("\n", "\r\n")
    if not ghost:
        return [*lines, scene.prompt + draft], (-1, 0), True
    return [*lines, scene.prompt + ghost], (len(scene.prompt), len(lines)), True


def _pager(rows: int) -> str:
    body = "\r\n".join(f"{number:3} a line of some long text" for number in range(1, rows))
    return "\x1b[?1049h\x1b[H\x1b[2J" + body + f"\r\n:{SHOW}"
