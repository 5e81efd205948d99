"""The seat is taken openly, and the breaker lets one probe through at a time."""

from bridge.core.agent import Agent, alive, probe_is_taken, take_probe, take_seat, wake_failed
from bridge.core.policy import Policy
from tests.core.wakes import NOW, at

POLICY = Policy()
AGENT = Agent("ws", "reviewer")


def test_whoever_takes_the_seat_raises_its_term() -> None:
    first = take_seat(AGENT, "s1")
    second = take_seat(first, "s2")
    assert (first.seat_term, second.seat_term, second.seat_session_id) == (1, 2, "s2")


def test_a_session_that_takes_its_own_seat_again_has_a_new_term() -> None:
    first = take_seat(AGENT, "s1")
    again = take_seat(first, "s1")
    assert (again.seat_session_id, again.seat_term) == ("s1", first.seat_term + 1)


def test_each_probe_that_fails_opens_the_breaker_for_longer() -> None:
    agent, minutes = AGENT, []
    for _ in range(7):
        now = agent.probe_at or NOW
        agent = wake_failed(agent, POLICY, now)
        assert agent.probe_at is not None
        minutes.append((agent.probe_at - now).total_seconds() / 60)
    assert minutes == [1, 2, 4, 8, 16, 30, 30]
    assert agent.unreachable_since == NOW


def test_wakes_that_fail_while_the_breaker_is_open_keep_it_open_and_double_nothing() -> None:
    agent = wake_failed(AGENT, POLICY, NOW)
    assert wake_failed(agent, POLICY, NOW) == agent
    later = wake_failed(agent, POLICY, at(59))
    assert (later.failures, later.probe_at) == (agent.failures, at(59 + 60))


def test_one_wake_probes_and_the_others_wait_for_the_next_probe() -> None:
    agent = wake_failed(AGENT, POLICY, NOW)
    probing = take_probe(agent, POLICY, at(60))
    assert probing.probe_at == at(60 + 120)
    assert wake_failed(probing, POLICY, at(70)).probe_at == at(70 + 120), "counted from where the probe ended"


def test_a_probe_that_another_wake_took_is_known_by_its_time() -> None:
    agent = wake_failed(AGENT, POLICY, NOW)
    assert not probe_is_taken(agent, at(60))
    assert probe_is_taken(take_probe(agent, POLICY, at(60)), at(60))


def test_a_probe_never_opens_a_breaker_that_a_sign_of_life_has_closed() -> None:
    closed = alive(wake_failed(AGENT, POLICY, NOW))
    assert not probe_is_taken(closed, at(60))
    assert take_probe(closed, POLICY, at(60)) == closed


def test_any_sign_of_life_closes_the_breaker() -> None:
    assert alive(wake_failed(AGENT, POLICY, NOW)) == AGENT
