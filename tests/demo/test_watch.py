"""Expectations: met, or told with what was seen instead; and the end of every wait."""

from collections.abc import Callable

import httpx
import pytest

from bridge.client import ApiError
from bridge.demo.timeline import Form, Timeline
from bridge.demo.watch import Account, Scene, SceneFailed, Stopped


@pytest.fixture
def account() -> Account:
    return Account()


@pytest.fixture
def scene(account: Account) -> Scene:
    return Scene(2, "A scene", Timeline(Form.PLAIN, lambda _: None), account)


def answers(*found: object) -> Callable[[], object]:
    """A question that is answered so, one answer after the other; an exception is raised."""
    left = list(found)

    def ask() -> object:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return ask


def test_what_is_so_is_counted(scene: Scene, account: Account) -> None:
    scene.expect("two and two make four", met=True, seen=4)
    assert [(one.scene, one.what) for one in account.met] == [(2, "two and two make four")]
    assert not account.failed


def test_what_is_not_so_fails_the_scene_with_what_was_seen(scene: Scene, account: Account) -> None:
    with pytest.raises(SceneFailed) as failure:
        scene.expect("one line", met=False, seen="2 lines")
    assert (failure.value.expected, failure.value.seen) == ("one line", "2 lines")
    assert account.failed[0].seen == "2 lines"


def test_waiting_gives_what_comes_in_the_end(scene: Scene, account: Account) -> None:
    assert scene.until("it comes", answers(None, [], "here"), 5, every_s=0.001) == "here"
    assert len(account.met) == 1


def test_what_never_comes_is_told_with_what_is_there_instead(scene: Scene, account: Account) -> None:
    with pytest.raises(SceneFailed) as failure:
        scene.until("it comes", answers(None), 0.01, lambda: "something else", every_s=0.001)
    assert failure.value.seen == "something else after 0.01 s"
    assert not account.met


@pytest.mark.parametrize(
    "no_answer", [httpx.ConnectError("refused"), ApiError("UNAVAILABLE", 503, "database away")]
)
def test_a_bridge_that_does_not_answer_is_asked_again(scene: Scene, no_answer: Exception) -> None:
    assert scene.until("it comes", answers(no_answer, "here"), 5, every_s=0.001) == "here"


def test_a_refusal_is_not_waited_out(scene: Scene) -> None:
    with pytest.raises(ApiError):
        scene.until("it comes", answers(ApiError("FORBIDDEN", 403, "no")), 5)


def test_a_stopped_play_ends_every_wait(scene: Scene, account: Account) -> None:
    account.stopped.set()
    with pytest.raises(Stopped):
        scene.until("it comes", answers(None), 60)
