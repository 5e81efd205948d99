"""What a program has besides its screen: the data of a preset that the parts beside the relay work by.

Rules of this file:
- Values only; each part says what it makes of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_HOOKS_FILE: Final = "{hooks_file}"


@dataclass(frozen=True, slots=True)
class Live:
    """A program's native ways; what is empty it does not have.

    `append`: arguments that it gets right after its name, `unless` the human gave one of these himself. `native_file`:
    an open file of that form names its session, by the first group. `queue_argv` queues `{line}` for the session
    `{native_id}`, run as `{program}`; what it says by `queue_refused` means that nothing was queued.
    `record_file`: the open file that is its own record of the session `{native_id}`; a line of the form
    `record_turn` is a prompt that it took. `hook_settings` is written to `{hooks_file}`; the other `hook_...` are
    forms of the lines that its hooks send, `hook_taken` and `hook_native` with what was meant as the first group.
    """

    append: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    native_file: str = ""
    queue_argv: tuple[str, ...] = ()
    queue_timeout_s: float = 5.0
    queue_refused: tuple[str, ...] = ()
    record_file: str = ""
    record_turn: str = ""
    hook_settings: str = ""
    hook_busy: str = ""
    hook_idle: str = ""
    hook_blocked: str = ""
    hook_taken: str = ""
    hook_native: str = ""

    @property
    def has_own_id(self) -> bool:
        """Whether the program can say what it calls its session."""
        return bool(self.native_file or self.hook_native)

    def is_free(self, command: Sequence[str]) -> bool:
        """Whether the human has not given what we would append."""
        given = {word.partition("=")[0] for word in command[1:]}
        return not given.intersection(self.unless)

    def command(self, command: Sequence[str], hooks_file: Path) -> tuple[str, ...]:
        """The human's command with what we append, as long as he has not given it himself."""
        if not self.append or not self.is_free(command):
            return tuple(command)
        ours = (word.replace(_HOOKS_FILE, str(hooks_file)) for word in self.append)
        return (command[0], *ours, *command[1:])
