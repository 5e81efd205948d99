"""The account finds what it is there to find: each fault, planted alone in a run that is otherwise sound."""

from dataclasses import replace

import pytest

from tests.live.account import Account, Evidence, Hold, Ran, Turn, Wake, account, too_few
from tests.live.cells import CELLS
from tests.live.human import Act, Deed, Dialog, Log, Prompt
from tests.live.soak import spread

LINE = "Wakebridge: 1 new message in 1 thread. Read with: bridge inbox"
TYPED = Prompt("codex 1 check the parser", 12.0)
ASKED = Prompt("please run marker codex-2", 22.0)
WAKE = Wake("wake_1", "acked", 14.0, 18.0, accepted=True, by="screen", touched=(16.0,))
HELD = Wake("wake_2", "failed", 20.0, 36.0, accepted=False, holds=(Hold(25.0, "busy: it shows a dialog"),))
LOG = Log(
    [Act(Deed.TYPE, 10.0, 12.0, TYPED.text), Act(Deed.DIALOG, 20.0, 28.0, ASKED.text)],
    [TYPED, ASKED],
    [Dialog("codex-2", 24.0, "yes", 27.0)],
)
TURNS = (Turn(12.1, TYPED.text), Turn(16.5, LINE), Turn(22.1, ASKED.text))
SOUND = Evidence(LOG, TURNS, (WAKE, HELD), {"codex-2": Ran(27.1, 27.4)}, 0)


def test_a_sound_run_breaks_nothing_and_names_the_act_that_held_a_wake() -> None:
    told = account(SOUND)
    assert told.broken == []
    assert (told.wakes, told.accepted, told.deferred, told.by["screen"]) == (2, 1, 1, 1)
    assert told.held[0].startswith(
        "wake_2 failed: 'busy: it shows a dialog' at 25.0: the human has an approval"
    )


@pytest.mark.parametrize(
    "turns",
    [
        (*TURNS, Turn(30.0, f"half a dra{LINE}")),
        (*TURNS, Turn(30.0, f"{LINE}\n{TYPED.text}")),
        (*TURNS, Turn(30.0, TYPED.text)),
        (*TURNS, Turn(30.0, "y")),
        TURNS[1:],
    ],
    ids=["joined to a draft", "two in one turn", "a prompt twice", "a stray key", "a prompt that never came"],
)
def test_a_garbled_turn_is_found(turns: tuple[Turn, ...]) -> None:
    assert len(account(replace(SOUND, turns=turns)).garbled) == 1


def test_a_prompt_that_a_line_was_joined_to_counts_for_both() -> None:
    told = account(replace(SOUND, turns=(Turn(12.1, TYPED.text + LINE), *TURNS[1:])))
    assert len(told.garbled) == 2


@pytest.mark.parametrize(
    "turns",
    [(*TURNS, Turn(17.0, LINE)), (*TURNS[:1], Turn(15.9, LINE), TURNS[2])],
    ids=["once more", "before it was handed over"],
)
def test_a_line_that_was_typed_twice_is_found(turns: tuple[Turn, ...]) -> None:
    assert len(account(replace(SOUND, turns=turns)).twice) == 1


@pytest.mark.parametrize(
    ("dialog", "ran"),
    [
        (Dialog("codex-2", 24.0, "yes", 27.0), Ran(25.0, 27.4)),
        (Dialog("codex-2", 24.0, "no", 27.0), Ran(None, 25.0)),
        (Dialog("codex-2", 24.0, "no", 27.0), Ran(27.1, 27.4)),
        (Dialog("codex-2", 24.0, "yes", 27.0), Ran(None, 27.4)),
        (Dialog("codex-2", 24.0, "", None), Ran(None, None)),
        (Dialog("codex-2", None, "", None), Ran(25.0, None)),
    ],
    ids=[
        "ran too early",
        "refused too early",
        "ran against a no",
        "refused against a yes",
        "gone",
        "never seen",
    ],
)
def test_a_dialog_that_somebody_else_answered_is_found(dialog: Dialog, ran: Ran) -> None:
    log = replace(LOG, dialogs=[dialog])
    assert len(account(replace(SOUND, log=log, ran={"codex-2": ran})).answered) == 1


def test_a_lost_message_is_found() -> None:
    assert account(replace(SOUND, unread=1)).lost == ["1 messages are unread at the end"]


@pytest.mark.parametrize(
    "hold",
    [
        Hold(31.0 + 4.0, "busy: it shows a dialog"),
        Hold(11.0, "busy: it shows a dialog"),
        Hold(25.0, "backoff: its terminal is not connected"),
    ],
    ids=["long after the act", "another act's time", "no human's doing"],
)
def test_a_wake_that_no_act_of_the_human_held_is_found(hold: Hold) -> None:
    told = account(replace(SOUND, wakes=(WAKE, replace(HELD, holds=(hold,)))))
    assert len(told.unexplained) == 1


def test_seven_of_ten_must_be_accepted() -> None:
    assert too_few([Account(wakes=6, accepted=3), Account(wakes=4, accepted=4)]) == ""
    assert too_few([Account(wakes=10, accepted=6)]) == "6 of 10 wakes were accepted live: fewer than 70%"


def test_the_wakes_of_a_client_are_spread_over_its_cells() -> None:
    shares = spread(CELLS, 10)
    assert [shares[cell] for cell in CELLS] == [3, 3, 2, 2, 5, 5]
