"""Settings: what can be written, what is refused, and that the refusal says how to go on."""

import os
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest

from monitor import settings
from monitor.domain.errors import ConfigurationError
from monitor.domain.server import Policy
from monitor.settings import PREFIX, LogFormat, LogLevel, Settings


def load(**variables: str) -> Settings:
    """Load the settings from these variables, named without their prefix."""
    return settings.load(environ={PREFIX + name: value for name, value in variables.items()})


def refusal(**variables: str) -> str:
    """Return the message with which these variables are refused."""
    with pytest.raises(ConfigurationError) as caught:
        load(**variables)
    return str(caught.value)


def test_the_defaults_are_those_of_the_contract() -> None:
    found = load()
    assert found.database_url is None
    assert (found.api_host, found.api_port) == ("127.0.0.1", 8420)
    assert found.policy == Policy(interval=timedelta(seconds=15), timeout=timedelta(seconds=5), rise=2, fall=3)
    assert found.discovery_interval == timedelta(seconds=60)
    assert found.event_retention == timedelta(days=7)
    assert found.allowed_networks == ()
    assert (found.log_format, found.log_level) == (LogFormat.AUTO, LogLevel.INFO)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("15", 15),
        ("15s", 15),
        ("15 s", 15),
        (" 15s ", 15),
        ("0.5", 0.5),
        ("2.5s", 2.5),
        ("500ms", 0.5),
        ("500 ms", 0.5),
        ("2m", 120),
        ("1.5h", 5400),
        ("1d", 86_400),
    ],
)
def test_a_duration_is_a_number_with_a_unit(text: str, seconds: float) -> None:
    assert load(CHECK_INTERVAL=text).check_interval == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["soon", "s", "15 seconds", "15S", "1h30m", "-5s", "1e3", ".5s", "5.", "١٥s", "15  s", "inf", "nan"]
)
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    message = refusal(CHECK_INTERVAL=text)
    assert message.startswith("OLLAMA_FLEET_CHECK_INTERVAL cannot be used: ")
    assert "15s, 500ms or 7d" in message
    assert "Value error" not in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CHECK_INTERVAL", "50ms"),
        ("CHECK_INTERVAL", "2d"),
        ("CHECK_INTERVAL", "9" * 30 + "d"),
        ("CHECK_TIMEOUT", "10ms"),
        ("CHECK_TIMEOUT", "6m"),
        ("DISCOVERY_INTERVAL", "0"),
        ("EVENT_RETENTION", "10s"),
        ("EVENT_RETENTION", "999999999d"),
        ("RISE", "0"),
        ("RISE", "many"),
        ("FALL", "101"),
        ("API_PORT", "65536"),
        ("API_PORT", "-1"),
        ("API_PORT", "http"),
        ("MAX_CONCURRENT_CHECKS", "0"),
        ("ALLOWED_NETWORKS", "gpu-1"),
        ("ALLOWED_NETWORKS", "10.0.0.1/8"),
        ("ALLOWED_NETWORKS", "10.0.0.0/8,fd00::/129"),
        ("LOG_FORMAT", "xml"),
        ("LOG_LEVEL", "loud"),
        ("DATABASE_URL", ""),
        ("STATE_DIR", ""),
        ("API_HOST", ""),
    ],
)
def test_nonsense_is_refused_with_the_name_of_the_setting(name: str, value: str) -> None:
    assert refusal(**{name: value}).startswith(f"OLLAMA_FLEET_{name} ")


def test_a_timeout_far_beyond_the_interval_is_refused() -> None:
    assert "CHECK_TIMEOUT is more than ten times" in refusal(CHECK_INTERVAL="1s", CHECK_TIMEOUT="11s")
    assert load(CHECK_INTERVAL="1s", CHECK_TIMEOUT="10s").check_timeout == timedelta(seconds=10)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("CHEK_INTERVAL", "Did you mean OLLAMA_FLEET_CHECK_INTERVAL?"),
        ("DATABASE_URI", "Did you mean OLLAMA_FLEET_DATABASE_URL?"),
        ("ZZZ", "See the settings in deploy/docs/settings.md."),
        ("", "See the settings in deploy/docs/settings.md."),
    ],
)
def test_a_misspelt_name_is_refused_with_the_nearest_one(name: str, hint: str) -> None:
    assert refusal(**{name: "1"}) == f"OLLAMA_FLEET_{name} is not a setting of ollama-fleet. {hint}"


def test_networks_are_separated_by_commas() -> None:
    found = load(ALLOWED_NETWORKS="10.0.0.0/8, fd00::/8,192.168.1.7,").allowed_networks
    assert found == (IPv4Network("10.0.0.0/8"), IPv6Network("fd00::/8"), IPv4Network("192.168.1.7/32"))


def test_a_file_sets_and_a_variable_wins_over_it(tmp_path: Path) -> None:
    config = tmp_path / "fleet.toml"
    config.write_text(
        'check_interval = "20s"\ncheck_timeout = 2\nrise = 4\nallowed_networks = ["10.0.0.0/8"]\nlog_level = "debug"\n'
    )
    found = settings.load(config, environ={f"{PREFIX}RISE": "5", "RISE": "6", "PATH": "/bin"})
    assert (found.check_interval, found.check_timeout) == (timedelta(seconds=20), timedelta(seconds=2))
    assert (found.rise, found.fall) == (5, 3)
    assert found.allowed_networks == (IPv4Network("10.0.0.0/8"),)
    assert found.log_level is LogLevel.DEBUG


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "chek_interval = 15",
            "chek_interval in {config} is not a setting of ollama-fleet. Did you mean check_interval?",
        ),
        ("API_PORT = 1", "API_PORT in {config} is not a setting of ollama-fleet. Did you mean api_port?"),
        (
            "[monitor]\nrise = 2",
            "monitor in {config} is not a setting of ollama-fleet. See the settings in deploy/docs/settings.md.",
        ),
        ("rise = [", "The configuration file {config} is not valid TOML: "),
        ("check_interval = inf", "check_interval in {config} cannot be used: no duration is that long."),
        ("check_interval = nan", "check_interval in {config} cannot be used: no duration is that long."),
        ("check_interval = true", "check_interval in {config} cannot be used: "),
        ('database_url = ""', "OLLAMA_FLEET_DATABASE_URL is empty; give it a value or remove it."),
    ],
)
def test_a_file_with_nonsense_is_refused(tmp_path: Path, text: str, message: str) -> None:
    config = tmp_path / "fleet.toml"
    config.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        settings.load(config, environ={})
    assert str(caught.value).startswith(message.format(config=config))


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"fleet\.toml cannot be read: No such file or directory\."):
        settings.load(tmp_path / "fleet.toml", environ={})
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        settings.load(tmp_path, environ={})
    (tmp_path / "latin.toml").write_bytes(b'api_host = "\xfc"')
    with pytest.raises(ConfigurationError, match="not valid TOML"):
        settings.load(tmp_path / "latin.toml", environ={})


def test_the_environment_of_the_process_is_read_unless_another_one_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_FLEET_API_PORT", "1234")
    monkeypatch.setenv("ollama_fleet_rise", "9")
    assert (settings.load().api_port, settings.load().rise) == (1234, 2)
    assert settings.load(environ={}).api_port == 8420


def test_a_process_without_its_own_database_needs_an_address() -> None:
    assert load(DATABASE_URL="postgresql://db/fleet").required_database_url() == "postgresql://db/fleet"
    with pytest.raises(ConfigurationError, match="ollama-fleet up"):
        load().required_database_url()


def test_a_refusal_does_not_repeat_what_may_be_a_secret() -> None:
    assert "hunter2" not in refusal(API_PORT="hunter2")


@pytest.mark.parametrize(
    ("user", "variables", "folder"),
    [
        (0, {"HOME": "/root"}, "/var/lib/ollama-fleet"),
        (1000, {"HOME": "/home/op"}, "/home/op/.local/state/ollama-fleet"),
        (1000, {"HOME": "/home/op", "XDG_STATE_HOME": "/srv/state"}, "/srv/state/ollama-fleet"),
        (1000, {"HOME": "/home/op", "XDG_STATE_HOME": ""}, "/home/op/.local/state/ollama-fleet"),
    ],
)
def test_the_state_has_its_place_by_user(
    monkeypatch: pytest.MonkeyPatch, user: int, variables: dict[str, str], folder: str
) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    assert load().state_dir == Path(folder)


def test_every_setting_says_what_it_is_for() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


def test_a_refusal_is_one_sentence_that_names_where_the_value_is_written(tmp_path: Path) -> None:
    assert refusal(API_PORT="x") == f"{PREFIX}API_PORT cannot be used: it must be a whole number."
    assert refusal(API_URL="127.0.0.1:8420").endswith("so write http://127.0.0.1:8420.")
    config = tmp_path / "fleet.toml"
    config.write_text('api_port = "x"\n')
    with pytest.raises(ConfigurationError) as caught:
        settings.load(config, environ={})
    assert str(caught.value) == f"api_port in {config} cannot be used: it must be a whole number."
