"""Which session a program is in: said by itself, compared with the one that was meant."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.adapters.runtimes.shim_proof import Proof, Rule
from bridge.core.states import Rung
from tests.runs.world import World

RULE = Rule(event={"type": "thread.started"}, field="thread_id", form=None)
CODEX = {"identity": {"match": "json", "field": "thread_id", "event": {"type": "thread.started"}}}


def line(native_id: object) -> str:
    return json.dumps({"type": "thread.started", "thread_id": native_id})


def test_the_session_that_was_meant_is_proved(world: World) -> None:
    noise = ["Reading from stdin...", "[1]", '{"type": "banner"}']
    spec = world.start("says_and_waits", *noise, line("t-1"), preset=CODEX, native_id="t-1", rung=Rung.RESUME)
    assert world.told(spec, "proved") == {"native_id": "t-1"}


def test_another_session_is_ended(world: World) -> None:
    spec = world.start("says_and_waits", line("t-2"), preset=CODEX, native_id="t-1", rung=Rung.RESUME)
    assert world.ended(spec)[1:] == ("killed", "answered as another session")
    assert world.recorder.of(spec.run_id) == ["started", "ended"]


def test_another_session_that_has_ended_by_itself_did_not_end_well(world: World) -> None:
    spec = world.start("says", line("t-2"), preset=CODEX, native_id="t-1")
    _, result, why = world.ended(spec)
    assert result != "exited"
    assert why == "answered as another session"


def test_a_new_session_may_name_itself(world: World) -> None:
    told = CODEX | {"native": "told"}
    spec = world.start("says_and_waits", line("its own"), preset=told, native_id="ours")
    assert world.told(spec, "proved") == {"native_id": "its own"}
    resumed = world.start("says_and_waits", line("its own"), preset=told, native_id="ours", rung=Rung.RESUME)
    assert world.ended(resumed)[2] == "answered as another session"


@pytest.mark.parametrize("name", ["", "x" * 201, 7, None, "two\nlines"])
def test_what_is_no_name_of_a_session_is_refused(world: World, name: object) -> None:
    spec = world.start("says_and_waits", line(name), preset=CODEX | {"native": "told"})
    assert world.ended(spec)[1:] == ("killed", "did not say which session it is")


def test_without_a_rule_the_first_line_is_proof_and_silence_is_none(world: World) -> None:
    spec = world.start("says_and_waits", "anything")
    assert world.told(spec, "proved") == {"native_id": spec.native_id}
    silent = world.start("closes")
    world.told(silent, "started")
    world.book.end(silent.run_id, "enough", 0.1)
    world.ended(silent)
    assert "proved" not in world.recorder.of(silent.run_id)


@given(st.binary(max_size=400), st.lists(st.integers(0, 500), max_size=8))
def test_the_proof_does_not_depend_on_how_the_output_is_cut(noise: bytes, cuts: list[int]) -> None:
    output = noise + b"\n" + line("t-1").encode() + b"\nmore"
    whole, parts = (Proof(RULE, "t-1", told=False) for _ in range(2))
    whole.feed(output)
    places = [0, *sorted(cut for cut in cuts if cut < len(output)), len(output)]
    for start, end in pairwise(places):
        parts.feed(output[start:end])
    for proof in (whole, parts):
        proof.end()
    assert whole.native_id == parts.native_id == "t-1"
    assert whole.wrong == parts.wrong == ""


@given(st.binary(max_size=2000))
def test_no_output_breaks_the_look_for_a_proof(output: bytes) -> None:
    proof = Proof(RULE, "t-1", told=True)
    proof.feed(output)
    proof.end()
    assert proof.native_id is None


def test_the_look_ends_after_the_first_mebibyte() -> None:
    proof = Proof(RULE, "t-1", told=False)
    for _ in range(17):
        proof.feed(b"x" * 64 * 1024)
    proof.feed(b"\n" + line("t-1").encode() + b"\n")
    assert proof.native_id is None
    assert not proof.open


def test_a_last_line_counts_without_its_end() -> None:
    proof = Proof(RULE, "t-1", told=False)
    proof.feed(line("t-1").encode())
    assert proof.native_id is None
    proof.end()
    assert proof.native_id == "t-1"
