"""What names of variables mean, and how an operator says what others mean."""

import pytest

from api.fleet.importing import variables
from api.fleet.importing.variables import Meaning, Role, Unused


@pytest.mark.parametrize(
    ("name", "role", "group"),
    [
        ("OLLAMA_HOST", Role.HOST, ""),
        ("ollama_host", Role.HOST, ""),
        ("OLLAMA_URL", Role.URL, ""),
        ("OLLAMA_BASE_URL", Role.URL, ""),
        ("OLLAMA_API_BASE", Role.URL, ""),
        ("OLLAMA_API_BASE_URL", Role.URL, ""),
        ("OLLAMA_SERVER_URL", Role.URL, ""),
        ("OLLAMA_BASE_URLS", Role.URLS, ""),
        ("OLLAMA_API_KEY", Role.API_KEY, ""),
        ("OLLAMA_TOKEN", Role.TOKEN, ""),
        ("OLLAMA_USERNAME", Role.USERNAME, ""),
        ("OLLAMA_PASSWORD", Role.PASSWORD, ""),
        ("OLLAMA_SERVER_1_URL", Role.URL, "1"),
        ("OLLAMA_SERVER_1", Role.URL, "1"),
        ("OLLAMA_SERVER1_URL", Role.URL, "1"),
        ("OLLAMA_SERVER_01_HOST", Role.HOST, "1"),
        ("OLLAMA_SERVER_0_HOST", Role.HOST, "0"),
        ("OLLAMA_SERVER_12_NAME", Role.NAME, "12"),
        ("OLLAMA_SERVER_1_API_KEY", Role.API_KEY, "1"),
        ("OLLAMA_SERVER_1_API_KEY_HEADER", Role.HEADER, "1"),
        ("OLLAMA_SERVER_1_USERNAME", Role.USERNAME, "1"),
        ("OLLAMA_SERVER_1_PASSWORD", Role.PASSWORD, "1"),
        ("OLLAMA_SERVER_1_TOKEN", Role.TOKEN, "1"),
        ("OLLAMA_SERVER_1_PRIORITY", Role.PRIORITY, "1"),
        ("OLLAMA_SERVER_1_MAX_CONCURRENT", Role.MAX_CONCURRENT, "1"),
        ("OLLAMA_1_API", Role.API, "1"),
        ("OLLAMA_HOST_1", Role.HOST, "1"),
        ("OLLAMA_URL_2", Role.URL, "2"),
        ("OLLAMA_2_URL", Role.URL, "2"),
        ("OLLAMA_API_KEY_2", Role.API_KEY, "2"),
    ],
)
def test_a_name_says_the_role_and_the_server(name: str, role: Role, group: str) -> None:
    assert variables.meaning(name, {}) == Meaning(role=role, group=group)


@pytest.mark.parametrize(
    ("name", "unused"),
    [
        ("OLLAMA_MODEL", variables.MODEL),
        ("OLLAMA_DEFAULT_MODEL", variables.MODEL),
        ("OLLAMA_SERVER_1_MODEL", variables.MODEL),
        ("OLLAMA_EMBEDDING_MODEL_NAME", variables.MODEL),
        ("OLLAMA_MODELS", variables.TUNING),
        ("OLLAMA_KEEP_ALIVE", variables.TUNING),
        ("OLLAMA_NUM_PARALLEL", variables.TUNING),
        ("OLLAMA_MAX_LOADED_MODELS", variables.TUNING),
        ("OLLAMA_FLEET_API_PORT", variables.OF_FLEET),
        ("OLLAMA_PORT", variables.PORT),
        ("OLLAMA_GPU_URL", variables.STRANGE),
        ("OLLAMA_SERVER_1_URL_2", variables.STRANGE),
        ("OLLAMA_SERVER_1_COLOUR", variables.STRANGE),
        ("OLLAMA", variables.STRANGE),
    ],
)
def test_what_is_about_ollama_and_no_server_has_a_reason(name: str, unused: Unused) -> None:
    assert variables.meaning(name, {}) == unused


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("OLAMA_HOST", "OLLAMA_HOST"),
        ("Olama_host", "OLLAMA_HOST"),
        ("OLLAMA_HOTS", "OLLAMA_HOST"),
        ("OLLAMAHOST", "OLLAMA_HOST"),
        ("OLLAMA_BASEURL", "OLLAMA_BASE_URL"),
        ("OLLAMA_URI", "OLLAMA_URL"),
        ("OLLMA_SERVER_URL", "OLLAMA_SERVER_URL"),
        ("OLAMA_SERVER_12_URL", "OLLAMA_SERVER_12_URL"),
        ("OLLAMA_SERVER_1_APIKEY", "OLLAMA_SERVER_1_API_KEY"),
        ("OLLAMA_HOTS_2", "OLLAMA_HOST_2"),
        ("OLLAMA_2_URLL", "OLLAMA_2_URL"),
    ],
)
def test_a_name_that_is_a_slip_away_is_asked_about_and_never_taken(name: str, meant: str) -> None:
    assert variables.meaning(name, {}) == Unused(reason=f"did you mean {meant}?", is_known=False)


@pytest.mark.parametrize("name", ["LLAMA_HOST", "LLAMA_API_KEY", "OPENAI_API_KEY", "OLLAMA1_HOST_2"])
def test_what_other_programs_have_is_not_taken_for_a_slip(name: str) -> None:
    found = variables.meaning(name, {})
    assert found in {None, variables.STRANGE}


@pytest.mark.parametrize("name", ["PATH", "DATABASE_URL", "OPENAI_API_KEY", "MY_OLLAMA_HOST", "OLLAMAXX_HOST", "_"])
def test_other_variables_are_nobodys_business(name: str) -> None:
    assert variables.meaning(name, {}) is None


@pytest.mark.parametrize(
    ("text", "name", "role", "group"),
    [
        ("LLM=url", "LLM", Role.URL, ""),
        ("LLM_2_KEY=api_key", "LLM_2_KEY", Role.API_KEY, "2"),
        ("A1_B2=url", "A1_B2", Role.URL, ""),
        ("LLM_KEY=token@attic", "LLM_KEY", Role.TOKEN, "attic"),
        ("OLLAMA_HOST=ignore", "OLLAMA_HOST", Role.IGNORE, ""),
    ],
)
def test_a_mapping_wins(text: str, name: str, role: Role, group: str) -> None:
    mapping = dict([variables.parse_mapping(text)])
    assert variables.meaning(name, mapping) == Meaning(role=role, group=group)


@pytest.mark.parametrize("text", ["", "LLM", "LLM=", "LLM=address", "=url", "L M=url", "LLM=URL"])
def test_a_mapping_that_is_none_is_refused_with_the_roles_there_are(text: str) -> None:
    with pytest.raises(ValueError, match=r"The roles are .*max_concurrent"):
        variables.parse_mapping(text)
