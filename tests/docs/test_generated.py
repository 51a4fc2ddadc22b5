"""The pages of settings, reasons and routes, and the configuration file, say what the code says."""

import importlib.util
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from monitor import settings
from monitor.domain import evaluation
from monitor.domain.availability import Availability, Status
from monitor.domain.probe import Listing, ProbeResult, Reason
from monitor.settings import Settings
from tests.deploy.checkout import ROOT
from tests.docs import pages


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    """The program that writes the pages; deploy/ is no package."""
    spec = importlib.util.spec_from_file_location("reference", ROOT / "deploy" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["settings.md", "reasons.md", "rest.md"])
def test_a_written_page_is_up_to_date(reference: ModuleType, name: str) -> None:
    assert pages.text(name) == reference.PAGES[name](), "run `python deploy/reference.py`"


def test_every_setting_and_every_reason_has_its_row() -> None:
    assert [row[0].strip("`").lower() for row in pages.rows("settings.md", header="name")] == list(
        Settings.model_fields
    )
    assert [row[0].strip("`") for row in pages.rows("reasons.md", header="reason")] == list(Reason)


def test_the_configuration_file_can_be_loaded_and_changes_nothing(reference: ModuleType, tmp_path: Path) -> None:
    config = tmp_path / "ollama-fleet.toml"
    config.write_text(reference.toml())
    assert settings.load(config, environ={}) == settings.load(
        environ={"OLLAMA_FLEET_STATE_DIR": "/var/lib/ollama-fleet"}
    )


def test_every_default_in_the_configuration_file_is_the_true_one(reference: ModuleType, tmp_path: Path) -> None:
    lines = reference.toml().splitlines()
    given = [line.removeprefix("#") for line in lines if line and not line.startswith("# ") and not line.endswith("…")]
    config = tmp_path / "ollama-fleet.toml"
    config.write_text("\n".join(given))
    assert settings.load(config, environ={}) == settings.load(
        environ={"OLLAMA_FLEET_STATE_DIR": "/var/lib/ollama-fleet"}
    )
    named = {line.lstrip("#").split(" = ")[0] for line in lines if line and not line.startswith("# ")}
    assert named == set(Settings.model_fields)
    without = {name for name, field in Settings.model_fields.items() if field.get_default() is None}
    assert set(tomllib.loads("\n".join(given))) == named - without | {"state_dir"}


def test_a_database_url_is_quoted_as_toml_wants_it(reference: ModuleType, tmp_path: Path) -> None:
    dsn = 'postgresql://fleet:a"b\\c@db/fleet?x=1&y=$2'
    config = tmp_path / "ollama-fleet.toml"
    config.write_text(reference.toml(dsn))
    assert settings.load(config, environ={}).database_url == dsn


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.LIST_FAILED])
def test_the_documented_status_is_what_a_server_gets(reason: Reason) -> None:
    policy = Settings().policy
    seen = Availability()
    for number in range(policy.fall):
        seen = evaluation.evaluate(seen, ProbeResult(reason=reason), policy, at=number)
    assert documented_status(reason) == ("none" if seen.status is Status.UNKNOWN else seen.status)


def test_a_list_that_fails_degrades_as_documented() -> None:
    up = evaluation.evaluate(Availability(), ProbeResult(reason=Reason.OK), Settings().policy, at=1)
    seen = evaluation.evaluate_listing(up, Listing(reason=Reason.SERVER_ERROR), at=2)
    assert seen.reason is Reason.LIST_FAILED
    assert documented_status(Reason.LIST_FAILED) == seen.status


def documented_status(reason: Reason) -> str:
    """The first word of the column."""
    (row,) = (row for row in pages.rows("reasons.md", header="reason") if row[0] == f"`{reason}`")
    return row[2].split()[0].strip("`:,")
