"""The injector by itself: what it asks for, in which order, and what it takes for proof."""

import random
from typing import Any

import pytest

from bridge.terminal.inject import (
    CONFIRM_S_MAX,
    EVIDENCE_S_MAX,
    PROBE_S_MAX,
    SILENT_ENTER_AGAIN_S,
    SILENT_S_MAX,
)
from bridge.terminal.terms import Act, By, Queued, Result, Step, Why
from bridge.terminal.verdict import Seen, Verdict
from tests.terminal.desk import ASKING, BUSY, DIALOG, DRAFT, EMPTY, OURS, TEXT, UNKNOWN, Desk, native

# Typing


def test_text_then_enter_then_the_box_is_clear() -> None:
    desk = Desk()
    assert desk.ask() is None
    desk.typed()
    outcome = desk.ended(0.1, verdict=BUSY)
    assert (outcome.result, outcome.by, outcome.enters) == (Result.ACCEPTED, By.SCREEN, 1)


@pytest.mark.parametrize(
    ("view", "why"),
    [
        ({"verdict": BUSY}, Why.BUSY),
        ({"verdict": DIALOG}, Why.DIALOG),
        ({"verdict": UNKNOWN}, Why.UNKNOWN),
        ({"verdict": DRAFT}, Why.DRAFT),
        ({"human_idle_s": 0.5}, Why.HUMAN),
        ({"whole": False}, Why.HUMAN),
        ({"stopped": True}, Why.STOPPED),
        ({"fresh": False}, Why.UNKNOWN),
        ({"stable_s": 0.1}, Why.UNKNOWN),
        ({"bracketed": False}, Why.UNKNOWN),
    ],
)
def test_nothing_is_typed_while_something_is_in_the_way(view: dict[str, Any], why: Why) -> None:
    desk = Desk(**view)
    desk.ask()
    assert desk.step() == Step()
    outcome = desk.ended(3.0)
    assert (outcome.result, outcome.why) == (Result.NOT_TOUCHED, why)


def test_a_box_that_is_empty_for_a_moment_only_is_not_typed_into() -> None:
    """Between two calls of a tool a program may show an idle prompt."""
    desk = Desk(settled_s=1.0, stable_s=0.9)
    desk.ask()
    assert desk.step().act is Act.NONE
    assert desk.step(0.1, verdict=BUSY, stable_s=0.0).act is Act.NONE
    assert desk.step(0.1, verdict=EMPTY, stable_s=1.0).act is Act.PASTE


@pytest.mark.parametrize(
    "verdict",
    [
        Verdict(Seen.DRAFT, TEXT + " and more", TEXT + " and more"),
        Verdict(Seen.DRAFT, "[Pasted text #1 +2 lines]", "[Pasted text #1 +2 lines]"),
        DIALOG,
        Verdict(Seen.BUSY, line=TEXT),
        UNKNOWN,
        EMPTY,
    ],
)
def test_enter_is_pressed_on_nothing_but_exactly_our_text(verdict: Verdict) -> None:
    desk = Desk()
    desk.ask()
    assert desk.step().act is Act.PASTE
    assert desk.step(0.5, verdict=verdict) == Step()
    outcome = desk.ended(SILENT_S_MAX)
    assert (outcome.result, outcome.enters) == (Result.UNVERIFIED, 0)


@pytest.mark.parametrize("view", [{"fresh": False}, {"stable_s": 0.01}])
def test_enter_waits_for_a_finished_and_quiet_screen(view: dict[str, Any]) -> None:
    desk = Desk()
    desk.ask()
    desk.step()
    assert desk.step(0.2, verdict=OURS, **view).act is Act.NONE
    assert desk.step(0.1, fresh=True, stable_s=0.1).act is Act.ENTER


def test_a_swallowed_enter_is_pressed_once_more_and_then_the_line_is_stranded() -> None:
    desk = Desk()
    desk.ask()
    desk.typed()
    assert desk.step(0.5, stable_s=0.5).act is Act.NONE
    assert desk.step(0.4, stable_s=0.2).act is Act.ENTER, (
        "it has drawn something since: an Enter was swallowed"
    )
    assert desk.step(0.5, stable_s=0.7).act is Act.NONE
    outcome = desk.ended(CONFIRM_S_MAX, stable_s=1.0)
    assert (outcome.result, outcome.enters) == (Result.STRANDED, 2)


def test_a_dialog_that_covers_the_box_after_enter_proves_nothing() -> None:
    desk = Desk()
    desk.ask()
    desk.typed()
    assert desk.step(0.1, verdict=DIALOG) == Step()
    outcome = desk.ended(3.0)
    assert (outcome.result, outcome.why, outcome.enters) == (Result.UNVERIFIED, Why.DIALOG, 1)


def test_a_question_of_a_line_program_shows_that_it_read_the_line() -> None:
    desk = Desk()
    desk.ask()
    desk.typed()
    assert desk.ended(0.1, verdict=ASKING).result is Result.ACCEPTED


def test_its_own_record_is_waited_for_and_comes_before_the_screen() -> None:
    desk = Desk(can_show=True)
    desk.ask()
    desk.typed()
    assert desk.step(0.1, verdict=EMPTY) == Step()
    assert not desk.injector.holding, "the human need not wait for proof"
    assert desk.ended(0.5, taken=By.RECORD).by is By.RECORD


def test_without_a_word_of_its_record_the_screen_has_to_do() -> None:
    desk = Desk(can_show=True)
    desk.ask()
    desk.typed()
    desk.step(0.1, verdict=EMPTY)
    outcome = desk.ended(EVIDENCE_S_MAX)
    assert (outcome.result, outcome.by) == (Result.ACCEPTED, By.SCREEN)


def test_a_record_proves_it_though_a_dialog_covers_the_box() -> None:
    desk = Desk(can_show=True)
    desk.ask()
    desk.typed()
    outcome = desk.ended(0.1, verdict=DIALOG, taken=By.HOOK)
    assert (outcome.result, outcome.by) == (Result.ACCEPTED, By.HOOK)


def test_somebody_elses_prompt_of_the_same_words_is_no_proof_before_we_typed() -> None:
    desk = Desk(can_show=True, verdict=BUSY)
    desk.ask()
    assert desk.step(taken=By.RECORD) == Step()
    assert desk.ended(3.0).result is Result.NOT_TOUCHED


def test_what_proved_one_line_is_no_proof_of_the_next_though_that_follows_at_once() -> None:
    desk = Desk(can_show=True)
    desk.ask()
    desk.typed()
    assert desk.ended(0.1, verdict=EMPTY, taken=By.RECORD).by is By.RECORD
    desk.ask("wake-2")
    desk.typed()
    assert desk.step(0.1) == Step()


# The program's own queue


def test_the_queue_comes_before_typing_and_its_taking_is_waited_for() -> None:
    desk = native()
    desk.ask()
    assert desk.step() == Step(Act.QUEUE, TEXT)
    assert (desk.injector.holding, desk.injector.touched) == (False, True)
    desk.queued(Queued.QUEUED)
    assert desk.step(3.0, verdict=BUSY) == Step()
    outcome = desk.ended(1.0, taken=By.RECORD)
    assert (outcome.result, outcome.by, outcome.enters) == (Result.ACCEPTED, By.RECORD, 0)


def test_a_draft_is_not_in_the_way_of_the_queue_nor_is_a_missing_paste_mode() -> None:
    desk = native(verdict=DRAFT, bracketed=False)
    desk.ask()
    assert desk.step().act is Act.QUEUE


@pytest.mark.parametrize(
    ("view", "why"),
    [
        ({"verdict": BUSY}, Why.BUSY),
        ({"verdict": DIALOG}, Why.DIALOG),
        ({"verdict": UNKNOWN}, Why.UNKNOWN),
        ({"human_idle_s": 0.5}, Why.HUMAN),
        ({"stopped": True}, Why.STOPPED),
        ({"stable_s": 0.1}, Why.UNKNOWN),
    ],
)
def test_what_is_in_the_way_of_the_queue(view: dict[str, Any], why: Why) -> None:
    desk = native(**view)
    desk.ask()
    assert desk.step() == Step()
    outcome = desk.ended(3.0)
    assert (outcome.result, outcome.why) == (Result.NOT_TOUCHED, why)


def test_refused_by_the_queue_it_is_typed_from_the_gate() -> None:
    desk = native()
    desk.ask()
    desk.step()
    desk.queued(Queued.REFUSED)
    assert desk.step(verdict=DRAFT) == Step(), "a draft is in the way again"
    assert desk.step(0.1, verdict=EMPTY) == Step(Act.PASTE, TEXT)
    assert desk.step(0.2, verdict=OURS).act is Act.ENTER
    desk.step(0.1, verdict=EMPTY)
    assert desk.ended(0.1, taken=By.RECORD).by is By.RECORD


@pytest.mark.parametrize(("result", "by"), [(Queued.QUEUED, By.QUEUE), (Queued.UNKNOWN, By.NONE)])
def test_a_queued_line_that_is_not_taken_in_time_is_never_handed_over_again(result: Queued, by: By) -> None:
    desk = native()
    desk.ask()
    desk.step()
    desk.queued(result)
    assert desk.step(7.0) == Step()
    outcome = desk.ended(1.5)
    assert (outcome.result, outcome.why, outcome.by) == (Result.UNVERIFIED, Why.QUEUED, by)
    for look_first, may_type in ((False, True), (True, True), (True, False)):
        again = desk.ask(look_first=look_first, may_type=may_type)
        assert again is not None
        assert (again.result, again.why) == (Result.UNVERIFIED, Why.QUEUED)
        assert desk.step(1.0) == Step()


def test_a_queue_that_never_answers_ends_with_the_deadline() -> None:
    desk = native()
    desk.ask()
    desk.step()
    assert desk.step(7.0) == Step()
    assert desk.ended(1.5).why is Why.QUEUED
    desk.queued(Queued.REFUSED)
    assert desk.step(1.0) == Step(), "an answer that is late changes nothing"
    again = desk.ask()
    assert again is not None
    assert again.why is Why.QUEUED


def test_a_queued_line_that_is_seen_taken_later_is_accepted_when_asked_again() -> None:
    desk = native()
    desk.ask()
    desk.step()
    desk.queued(Queued.QUEUED)
    desk.step(9.0)
    assert desk.injector.taken("another prompt", By.RECORD) is None
    late = desk.injector.taken(TEXT, By.RECORD)
    assert late is not None
    assert (late.key, late.result, late.by) == ("wake-1", Result.ACCEPTED, By.RECORD)
    assert desk.ask() == late
    assert desk.injector.taken(TEXT, By.RECORD) is None, "one prompt proves one line"


def test_what_its_queue_has_said_is_enough_where_nothing_more_can_show() -> None:
    desk = native(can_show=False)
    desk.ask()
    desk.step()
    desk.queued(Queued.QUEUED)
    outcome = desk.ended(0.1)
    assert (outcome.result, outcome.by) == (Result.ACCEPTED, By.QUEUE)


def test_what_was_typed_before_is_neither_queued_nor_typed_again() -> None:
    desk = Desk()
    desk.ask()
    desk.typed()
    assert desk.step(SILENT_ENTER_AGAIN_S).act is Act.ENTER
    assert desk.ended(SILENT_S_MAX - SILENT_ENTER_AGAIN_S).result is Result.STRANDED
    assert desk.ask() is None
    assert desk.step(native=True).act is Act.ENTER, "it stands there: Enter, and nothing else"
    assert desk.ended(0.1, verdict=EMPTY).result is Result.ACCEPTED


def test_what_stands_in_the_box_already_is_entered_not_queued_besides() -> None:
    """The host does not know how far an earlier hand came; we are new and remember nothing."""
    desk = native(verdict=OURS)
    desk.ask(look_first=True)
    assert desk.step().act is Act.ENTER


def test_absent_when_the_text_that_was_typed_is_gone_though_there_is_a_queue() -> None:
    desk = native(can_show=False)
    desk.ask(look_first=True, may_type=False)
    assert desk.ended().result is Result.ABSENT


def test_an_agent_that_ends_with_the_line_in_its_queue() -> None:
    desk = native()
    desk.ask()
    desk.step()
    desk.queued(Queued.QUEUED)
    outcome = desk.injector.finish(desk.view, desk.now).outcome
    assert outcome is not None
    assert (outcome.result, outcome.why) == (Result.UNVERIFIED, Why.QUEUED)


@pytest.mark.parametrize("seed", range(40))
def test_whatever_the_terminal_does_a_line_is_handed_over_once_and_enter_only_on_our_text(seed: int) -> None:
    rng = random.Random(seed)
    desk = Desk()
    verdicts = [EMPTY, BUSY, OURS, DRAFT, DIALOG, UNKNOWN, ASKING]
    handed = 0
    for _ in range(400):
        if not desk.injector.active:
            desk.ask(look_first=rng.random() < 0.5, may_type=rng.random() < 0.9, force=rng.random() < 0.3)
        step = desk.step(
            rng.choice([0.02, 0.2, 1.0]),
            verdict=rng.choice(verdicts),
            fresh=rng.random() < 0.9,
            stable_s=rng.choice([0.0, 0.1, 5.0]),
            native=rng.random() < 0.3,
            can_show=rng.random() < 0.5,
            human_idle_s=rng.choice([None, 0.1, 9.0]),
            taken=By.NONE,
        )
        if step.act is Act.QUEUE:
            handed += 1
            answer = rng.choice(list(Queued))
            handed -= answer is Queued.REFUSED
            desk.queued(answer)
        if step.act is Act.PASTE:
            handed += 1
            assert desk.view.verdict is EMPTY
        if step.act is Act.ENTER:
            assert desk.view.verdict is OURS
            assert desk.view.fresh
        assert handed <= 1


# A program that is slow


def test_a_program_that_shows_nothing_yet_is_waited_for_with_the_humans_keys_behind_the_line() -> None:
    """On a busy machine a box draws its paste seconds later: keys let go by then would stand in our line."""
    desk = Desk()
    desk.ask()
    assert desk.step().act is Act.PASTE
    assert desk.step(PROBE_S_MAX + 1.5) == Step()
    assert desk.injector.holding
    assert desk.step(0.5, verdict=OURS, stable_s=0.2).act is Act.ENTER


def test_a_program_that_shows_nothing_at_all_is_given_up() -> None:
    desk = Desk()
    desk.ask()
    desk.step()
    assert desk.ended(SILENT_S_MAX, stable_s=20.0).result is Result.UNVERIFIED
    assert not desk.injector.holding


def test_a_program_that_shows_something_else_meanwhile_is_not_waited_for() -> None:
    desk = Desk()
    desk.ask()
    desk.step()
    assert desk.ended(PROBE_S_MAX, verdict=DRAFT, stable_s=1.0).result is Result.UNVERIFIED


def test_an_enter_that_shows_nothing_yet_is_waited_for() -> None:
    desk = Desk()
    desk.ask()
    desk.typed()
    assert desk.step(SILENT_ENTER_AGAIN_S - 0.5, stable_s=9.0) == Step(), "it may have read the first by now"
    assert desk.step(0.5).act is Act.ENTER
    assert desk.step(0.5) == Step()
    assert desk.injector.holding
    assert desk.ended(0.2, verdict=BUSY).result is Result.ACCEPTED
