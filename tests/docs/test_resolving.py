"""The page of resolving names every step of the choice in its order, and every parameter."""

from api.web.http.parameters import ResolveQuery
from monitor.domain.explanation import Step
from tests.docs import pages

PAGE = "resolving.md"
# Before the order of choice begins, so in a table of their own.
OUTSIDE = {Step.URL, Step.ACTIVE, Step.MODEL, Step.SELECTOR, Step.DEFAULT}
# On the page so that nobody relies on its absence; no server is passed over for it yet.
TO_COME = {"failing"}


def test_every_step_has_its_row_in_the_order_of_choice() -> None:
    named = [row[0].strip("`") for row in pages.rows(PAGE, header="`step`")]
    kept = [name for name in named if name not in TO_COME]
    assert kept == [*(step for step in Step if step not in OUTSIDE), *(step for step in Step if step in OUTSIDE)]


def test_every_parameter_is_named() -> None:
    text = pages.text(PAGE)
    assert [name for name in ResolveQuery.model_fields if f"`{name}" not in text] == []
