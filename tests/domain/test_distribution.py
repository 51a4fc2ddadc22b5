"""A distribution counts each value once, between the bounds it belongs to."""

from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.distribution import SECONDS, Distribution


@given(st.lists(st.sampled_from([0.0, *SECONDS, 0.3, 99.0])))
def test_each_value_is_counted_up_to_the_first_bound_it_does_not_exceed(values: list[float]) -> None:
    distribution = Distribution(SECONDS)
    for value in values:
        distribution.observe(value)
    told = distribution.document()
    assert len(told["counts"]) == len(told["bounds"]) + 1
    for place, bound in enumerate(told["bounds"]):
        assert sum(told["counts"][: place + 1]) == sum(value <= bound for value in values)
    assert sum(told["counts"]) == len(values)
