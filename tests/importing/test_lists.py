"""Several addresses in one variable, and addresses in variables of which nobody would expect them."""

import pytest

from api.fleet.importing.report import Outcome
from tests.importing.test_plan import candidates, gathered, refusals


def test_a_comma_in_a_password_divides_nothing() -> None:
    (candidate,) = gathered("OLLAMA_URLS=http://operator:a,b@gpu-1:1").candidates
    assert candidate.values["auth"]["password"] == "a,b"


def test_one_address_that_is_several_is_told_how_to_be_taken() -> None:
    text = "OLLAMA_BASE_URL=http://a:1,http://b:1"
    assert refusals(text) == {"OLLAMA_BASE_URL": "it holds several addresses; say --map OLLAMA_BASE_URL=urls"}
    assert candidates(text, "OLLAMA_BASE_URL=urls") == {"http://a:1": {}, "http://b:1": {}}


@pytest.mark.parametrize("value", ["http://gpu-1:11434/v1", "gpu-1:11434", "'[::1]:11434'"])
def test_a_value_with_the_port_of_ollama_is_pointed_out_whatever_it_is_called(value: str) -> None:
    found = gathered(f"OPENAI_BASE_URL={value}\nDATABASE_URL=postgresql://db:5432/x\nNUMBER=a:114340")
    (finding,) = found.findings
    assert (finding.variable, finding.outcome) == ("OPENAI_BASE_URL", Outcome.UNKNOWN)
    assert finding.detail.endswith("say --map OPENAI_BASE_URL=url")
    assert found.others == 2
