"""The scripted agents' rules: they play the review to its end, and argue until they are told."""

from typing import Any

from bridge.core.prompt import OfferedThread, Woken, compose
from bridge.core.states import Rung
from bridge.core.summary import summarise
from bridge.demo.brain import (
    BLOCKER,
    DECISION,
    DISPUTE,
    FINDING,
    IS_ANYBODY_THERE,
    NEWS,
    OUTLOOK,
    REVIEW,
    VERDICT,
    Act,
    answer,
    reply,
)
from tests.core.summaries import decided, facts, finding


def system(body: str) -> dict[str, Any]:
    return {"kind": "system", "event": None, "body": body, "sender_agent_id": "wakebridge"}


def said(sender: str, act: Act | None) -> dict[str, Any]:
    assert act is not None
    kind = "event" if act.event else "chat"
    return {"kind": kind, "event": act.event, "body": act.body, "sender_agent_id": sender}


def test_a_review_ends_resolved_after_three_acts() -> None:
    finding = answer("reviewer", [system(REVIEW)])
    fix = answer("executor", [said("reviewer", finding)])
    verdict = answer("reviewer", [said("executor", fix)])
    assert finding is not None
    assert finding.event == FINDING
    assert verdict is not None
    assert verdict.event is not None
    assert verdict.event["finding_id"] == FINDING["finding_id"]
    assert verdict.resolve
    assert answer("executor", [said("reviewer", verdict)]) is None


def test_two_who_argue_do_not_stop_by_themselves() -> None:
    act = answer("reviewer", [system(DISPUTE)])
    speakers = ("reviewer", "executor")
    for turn in range(30):
        act = answer(speakers[(turn + 1) % 2], [said(speakers[turn % 2], act)])
    assert act is not None


def test_the_operators_verdict_outweighs_the_argument_before_it() -> None:
    argument = said("reviewer", Act("Tabs.", "executor"))
    act = answer("executor", [argument, system(f"operator set the thread to active: {VERDICT}")])
    assert act is not None
    assert act.event == {"type": "decision", "text": "spaces"}
    assert answer("reviewer", [said("executor", act)]) is None


def test_a_program_gets_no_answer() -> None:
    assert answer("executor", [said("ci", Act("Build 1 is green.", "executor"))]) is None


def test_whoever_has_no_part_answers_nothing() -> None:
    assert answer("planner", [system(REVIEW)]) is None
    assert answer("reviewer", []) is None


def asked(body: str) -> dict[str, Any]:
    return {"kind": "chat", "event": None, "body": body, "sender_agent_id": "ci"}


def test_what_a_started_agent_knows_of_before_stands_in_its_prompt() -> None:
    known = summarise(
        facts(
            findings=(finding(1, finding_id=str(BLOCKER["finding_id"]), text=str(BLOCKER["text"])),),
            decisions=(decided(2, DECISION["text"]),),
        )
    )
    thread = OfferedThread("th_1", "builder", 2, 3, 1, 3, 3, summary=known)
    prompt = compose(Woken("builder", "ses_1", Rung.SPAWN, (thread,)), 16_384)
    told = reply("builder", [asked(OUTLOOK)], prompt)
    assert told == f"Open: {BLOCKER['finding_id']}. Decided: {DECISION['text']}."


def test_a_started_agent_without_a_summary_knows_nothing_of_before() -> None:
    assert reply("builder", [asked(OUTLOOK)], "") == "Open: nothing. Decided: nothing."


def test_a_started_agent_answers_questions_alone() -> None:
    news = [asked(NEWS.format(number=number, count=3)) for number in (1, 2)]
    question = asked(IS_ANYBODY_THERE.format(number=3, count=3))
    assert reply("sleeper", news, "") is None
    assert reply("sleeper", [], "") is None
    assert "3 messages" in str(reply("sleeper", [*news, question], ""))
