"""The one table of reasons: complete, and the words of the page in the browser are its words."""

import re

import pytest

from monitor.domain.probe import Reason
from monitor.domain.reasons import EXPLANATIONS
from tests.deploy.checkout import ROOT

PAGE = (ROOT / "api" / "web" / "dashboard" / "verdicts.js").read_text()


def test_every_reason_is_explained() -> None:
    assert list(EXPLANATIONS) == list(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_the_dashboard_gives_the_cause_of_the_table(reason: Reason) -> None:
    assert re.findall(rf'^  {reason}: \["(.*?)", "', PAGE, re.MULTILINE) == [EXPLANATIONS[reason].cause]
