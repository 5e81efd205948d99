"""What the judge makes of a line program's screen."""

import dataclasses

import pytest

from bridge.adapters.presets import UnknownPresetError, load_preset, preset_names
from bridge.adapters.presets.screen import ScreenData
from bridge.terminal.judge import judge_for
from bridge.terminal.screen import Screen
from bridge.terminal.verdict import Frame, Judge, Rules, Seen

LINE = Rules(**load_preset("line").screen.arguments())


def fresh() -> Judge:
    return judge_for(LINE)


def at_prompt(prompt: str = "> ") -> Judge:
    judge = fresh()
    assert judge.look(Frame(left=prompt)).seen is Seen.EMPTY
    return judge


@pytest.mark.parametrize(
    "left", ["> ", ">", "$ ", "user@host:~# ", "zsh% ", "% ", "\u276f ", "» \u203a", "Your answer: "]
)
def test_a_prompt_with_nothing_after_it_is_empty(left: str) -> None:
    assert fresh().look(Frame(left=left)).seen is Seen.EMPTY


@pytest.mark.parametrize("left", ["", "working", "50% ", "loading 100%", "done.", "> text", "a > b"])
def test_no_prompt_at_the_cursor_is_busy(left: str) -> None:
    assert fresh().look(Frame(left=left)).seen is Seen.BUSY


@pytest.mark.parametrize(
    "frame",
    [
        Frame(left="Apply this change? [y/N] "),
        Frame(left="Apply this change? [y/N]: "),
        Frame(left="Overwrite (yes/no)? "),
        Frame(left="Password: "),
        Frame(left="Press Enter to continue > "),
        Frame(left="> ", above=("rm -rf build", "Run this command? [y/n]")),
        Frame(left="> ", above=("Do you want to proceed?",)),
    ],
)
def test_a_question_is_a_dialog(frame: Frame) -> None:
    assert fresh().look(frame).seen is Seen.DIALOG


def test_an_answered_question_above_the_prompt_is_no_dialog() -> None:
    assert fresh().look(Frame(left="> ", above=("Run this command? [y/n] y",))).seen is Seen.EMPTY


@pytest.mark.parametrize(
    "draft", ["a", "   ", "50%", "see this:", "a > ", "$", "change the password", "[y/N]"]
)
def test_text_after_the_prompt_is_a_draft_whatever_it_ends_with(draft: str) -> None:
    judge = at_prompt()
    judge.sent(draft.encode())
    verdict = judge.look(Frame(left="> " + draft))
    assert (verdict.seen, verdict.text) == (Seen.DRAFT, draft)


def test_a_draft_with_the_cursor_at_its_start_is_a_draft() -> None:
    judge = at_prompt()
    judge.sent(b"hello\x1b[H")
    assert judge.look(Frame(left="> ", right="hello     ")).text == "hello"


def test_a_draft_that_was_erased_leaves_the_box_empty() -> None:
    judge = at_prompt()
    judge.sent(b"abc")
    judge.look(Frame(left="> abc"))
    judge.sent(b"\x7f\x7f\x7f")
    assert judge.look(Frame(left="> ")).seen is Seen.EMPTY


def test_a_line_recalled_without_a_letter_typed_is_a_draft() -> None:
    judge = at_prompt()
    judge.sent(b"\x1b[A")
    assert judge.look(Frame(left="> the last command")).seen is Seen.DRAFT


def test_a_prompt_seen_in_two_pieces_is_learnt_whole() -> None:
    judge = at_prompt(">")
    assert judge.look(Frame(left="> ")).seen is Seen.EMPTY
    judge.sent(b"x")
    assert judge.look(Frame(left="> x")).text == "x"


def test_keys_typed_while_the_agent_works_make_the_next_prompt_unknown() -> None:
    judge = at_prompt()
    judge.sent(b"go\r")
    judge.look(Frame(left="working"))
    judge.sent(b"ahead")
    assert judge.look(Frame(left="> ", above=("workingahead",))).seen is Seen.UNKNOWN
    assert judge.look(Frame(left="ahead> ")).seen is Seen.UNKNOWN
    judge.sent(b"\r")
    assert judge.look(Frame(left="> ", above=("got ahead",))).seen is Seen.EMPTY


def test_a_key_that_a_raw_program_ate_does_not_count_as_typed_ahead() -> None:
    judge = at_prompt()
    judge.sent(b"less file\r")
    judge.look(Frame(left="(END)"))
    judge.sent(b"q", canonical=False)
    assert judge.look(Frame(left="> ")).seen is Seen.EMPTY


def test_on_the_alternate_screen_nothing_is_a_prompt() -> None:
    screen = Screen(20, 5)
    screen.feed(b"\x1b[?1049h\x1b[5;1H:")
    assert fresh().look(screen.frame()).seen is Seen.UNKNOWN
    screen.feed(b"\x1b[?1049l\r> ")
    assert fresh().look(screen.frame()).seen is Seen.EMPTY


def test_keys_that_a_raw_program_kept_for_its_next_prompt_are_a_draft() -> None:
    judge = at_prompt()
    judge.sent(b"go\r", canonical=False)
    judge.look(Frame(left="working"))
    judge.sent(b"50%", canonical=False)
    verdict = judge.look(Frame(left="> 50%"))
    assert (verdict.seen, verdict.text) == (Seen.DRAFT, "50%")


def test_after_a_raw_program_the_first_prompt_is_learnt() -> None:
    judge = fresh()
    judge.look(Frame(left="(END)"))
    judge.sent(b"q", canonical=False)
    assert judge.look(Frame(left="shell$ ")).seen is Seen.EMPTY


def test_our_text_that_stays_after_enter_is_still_the_draft() -> None:
    judge = at_prompt()
    judge.sent(b"wake up:")
    judge.look(Frame(left="> wake up:"))
    judge.sent(b"\r")
    verdict = judge.look(Frame(left="> wake up:"))
    assert (verdict.seen, verdict.text) == (Seen.DRAFT, "wake up:")


def test_an_enter_inside_a_bracketed_paste_ends_no_line() -> None:
    judge = at_prompt()
    judge.sent(b"two\rlines >", pasted=True)
    assert judge.look(Frame(left="> two lines >")).seen is Seen.DRAFT


def test_after_enter_a_new_prompt_is_learnt() -> None:
    judge = at_prompt("[1] > ")
    judge.sent(b"x\r")
    judge.look(Frame(left="working"))
    assert judge.look(Frame(left="[2] > ")).seen is Seen.EMPTY
    judge.sent(b"y")
    assert judge.look(Frame(left="[2] > y")).text == "y"


def test_the_words_of_a_preset_make_it_busy() -> None:
    judge = judge_for(Rules(prompt=LINE.prompt, working=("to interrupt",)))
    assert judge.look(Frame(left="> ", above=("thinking (esc to interrupt)", ""))).seen is Seen.BUSY


def test_the_frame_of_a_real_screen_joins_wrapped_rows_and_counts_cells() -> None:
    screen = Screen(20, 6)
    screen.feed("above\r\n> é漢字 text that goes on and on and on".encode())
    frame = screen.frame()
    assert (frame.left, frame.right.strip(), frame.above) == (
        "> é漢字 text that goes on and on and on",
        "",
        ("above",),
    )
    screen.feed(b"\x1b[4D")
    assert (screen.frame().left[-4:], screen.frame().right.rstrip()) == ("n an", "d on")


def test_a_line_that_just_fills_the_row_is_all_left_of_the_cursor() -> None:
    screen = Screen(10, 3)
    screen.feed(b"> 12345678")
    assert (screen.frame().left, screen.frame().right) == ("> 12345678", "")


def test_resets_name_only_what_the_program_has_set() -> None:
    screen = Screen(10, 3)
    assert screen.resets() == b"\x1b[0m"
    screen.feed(b"\x1b[?2004h\x1b[?25l")
    assert screen.resets() == b"\x1b[?2004l\x1b[?25h\x1b[0m"
    assert screen.restores() == b"\x1b[?2004h\x1b[?25l"


def test_every_preset_loads_and_fits_the_rules() -> None:
    assert "line" in preset_names()
    fields = {field.name for field in dataclasses.fields(Rules)}
    assert {field.name for field in dataclasses.fields(ScreenData)} == fields
    for name in filter(lambda name: load_preset(name).looks, preset_names()):
        assert judge_for(Rules(**load_preset(name).screen.arguments())).verdict.seen is Seen.UNKNOWN


@pytest.mark.parametrize("name", ["", "no-such", "../line", "line.toml", "LINE"])
def test_a_preset_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(UnknownPresetError, match=r"there is .*line"):
        load_preset(name)
