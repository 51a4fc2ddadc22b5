"""`status` where there is no fleet: it says so, and makes none by looking."""

from pathlib import Path

from tests.cli.conftest import Typed


def test_a_look_makes_no_database(typed: Typed, tmp_path: Path) -> None:
    outcome = typed("status")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == (
        f"ollama-fleet: There is no fleet in {tmp_path / 'state'} yet. Start one with `ollama-fleet up`, or set "
        "OLLAMA_FLEET_STATE_DIR to where yours is.\n"
    )
    assert list(tmp_path.iterdir()) == []
