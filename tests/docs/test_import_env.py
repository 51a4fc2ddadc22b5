"""The page of the import names every spelling that is understood, and says of each what it is."""

import re

import pytest

from api.fleet.importing import env_file, variables
from api.fleet.importing.candidates import Gathering
from api.fleet.importing.plan import Planner
from api.fleet.importing.variables import Meaning, Role
from tests.docs import pages

PAGE = "import-env.md"
ROLES = {
    "OLLAMA_HOST": Role.HOST,
    "OLLAMA_URL": Role.URL,
    "OLLAMA_URLS": Role.URLS,
    "OLLAMA_NAME": Role.NAME,
    "OLLAMA_TOKEN": Role.TOKEN,
    "OLLAMA_API_KEY": Role.API_KEY,
    "OLLAMA_API_KEY_HEADER": Role.HEADER,
    "OLLAMA_USERNAME": Role.USERNAME,
    "OLLAMA_PASSWORD": Role.PASSWORD,
    "OLLAMA_PRIORITY": Role.PRIORITY,
    "OLLAMA_MAX_CONCURRENT": Role.MAX_CONCURRENT,
    "OLLAMA_API": Role.API,
}


def documented() -> list[list[str]]:
    """The variables of each row."""
    return [pages.codes(row[0]) for row in pages.rows(PAGE, header="variable")]


def test_every_spelling_has_its_place() -> None:
    named = [name for names in documented() for name in names]
    assert sorted(named) == sorted(f"OLLAMA_{word}" for word in variables.SPELLINGS)


@pytest.mark.parametrize("names", documented(), ids=lambda names: names[0])
def test_all_variables_of_a_row_mean_the_same(names: list[str]) -> None:
    assert {variables.meaning(name, {}) for name in names} == {Meaning(role=ROLES[names[0]])}


def test_the_mapping_and_the_name_are_as_they_are_written() -> None:
    text = pages.text(PAGE)
    mapping = dict(variables.parse_mapping(one) for one in re.findall(r"--map (\S+=[^\s`]+)", text))
    file = env_file.parse(b"LLM_BACKEND=http://127.0.0.1:11434\nLLM_KEY=k\nOLLAMA_HOST_2=gpu-1.lan")
    planner = Planner(known=(), allowed_networks=(), update=False)
    created = [step.create for step in planner.steps(Gathering.of(file, mapping).candidates)]
    names = [server.name for server in created if server is not None]
    assert names == ["127.0.0.1-11434", "gpu-1.lan"]
    assert all(f"`{name}`" in text for name in names)
