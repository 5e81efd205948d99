"""The arithmetic of buckets, and how answers tell of them."""

import pytest

from bridge.core.errors import InvalidArgument
from bridge.core.limits import Bucket, Rate, Standing, policy_field, standing_field
from bridge.core.policy import RATES, Policy, from_data


def test_the_default_for_posts_hinders_no_honest_agent() -> None:
    rates = Policy().rates(Bucket.POSTS)
    assert (rates.agent.per_minute / 60, rates.agent.burst) == (100, 1000)
    assert rates.thread.per_minute >= 10 * rates.agent.per_minute  # one agent alone never fills up a thread


def test_the_default_for_elicitations_is_the_second_seeds() -> None:
    policy = Policy()
    asks, answers = policy.elicitation_requests_rate.agent, policy.elicitation_responses_rate.agent
    assert (asks, answers) == (Rate(10, 3), Rate(20, 3))


@pytest.mark.parametrize("kind", RATES)
@pytest.mark.parametrize("name", ["agent_per_minute", "agent_burst", "thread_per_minute", "thread_burst"])
def test_a_limit_of_nothing_is_refused_by_its_name(kind: str, name: str) -> None:
    assert getattr(getattr(from_data({f"{kind}_rate": {name: 1}}), f"{kind}_rate"), name) == 1
    with pytest.raises(InvalidArgument, match=f"{kind}_rate.{name} must be at least 1"):
        from_data({f"{kind}_rate": {name: 0}})


def test_a_bucket_tells_its_size_the_seconds_it_fills_in_and_what_is_left() -> None:
    rate = Rate(per_minute=6000, burst=1000)
    assert policy_field("posts-agent", rate) == '"posts-agent";q=1000;w=10'
    assert standing_field("posts-agent", Standing(left=3, full_in_s=9.97)) == '"posts-agent";r=3;t=10'
    assert policy_field("x", Rate(7, 1)) == '"x";q=1;w=9'  # never sooner than it is true
