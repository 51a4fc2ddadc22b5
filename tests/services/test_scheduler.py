"""The metronome beats on, ends with a beat that raises, and is not fooled by a wall clock that is set."""

import asyncio
import logging
import time
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from monitor.services import scheduler
from monitor.services.scheduler import Beat, Every, Metronome
from tests.services.conftest import Running, until

OFTEN = timedelta(milliseconds=2)
RARELY = timedelta(hours=1)


class Drum:
    """Counts its beats; may fail at one of them."""

    def __init__(self, *, failure: Exception | None = None, at: int = 1) -> None:
        self.beats = 0
        self.failure = failure
        self.at = at

    async def __call__(self) -> None:
        """Beat."""
        self.beats += 1
        if self.failure is not None and self.beats == self.at:
            raise self.failure


async def test_every_beat_goes_on_at_its_own_pace(running: Running) -> None:
    often, rarely = Drum(), Drum()
    metronome = Metronome([Beat(name="often", every=OFTEN, act=often), Beat(name="rarely", every=RARELY, act=rarely)])
    async with running(metronome.run()):
        await until(lambda: often.beats > 5)
    assert rarely.beats == 1
    assert metronome.beats == often.beats + rarely.beats


@pytest.mark.parametrize("failure", [RuntimeError("a bug"), TimeoutError("a bug, too"), OSError(110, "timed out")])
async def test_a_beat_that_raises_ends_the_metronome(failure: Exception) -> None:
    drum = Drum(failure=failure, at=3)
    metronome = Metronome([Beat(name="faulty", every=OFTEN, act=drum)])
    with pytest.raises(type(failure)) as caught:
        await metronome.run()
    assert caught.value is failure


@pytest.mark.parametrize("step", [-7200.0, 7200.0])
async def test_a_step_of_the_wall_clock_arms_all_beats_again(
    running: Running, monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    monkeypatch.setattr(scheduler, "GUARD_INTERVAL", 0.002)
    drum = Drum()
    metronome = Metronome([Beat(name="rarely", every=RARELY, act=drum)])
    with capture_logs() as logs:
        async with running(metronome.run()):
            await until(lambda: drum.beats == 1)
            wall = time.time
            monkeypatch.setattr("monitor.services.scheduler.time.time", lambda: wall() + step)
            await until(lambda: drum.beats == 2)
            await until(lambda: logs)
    assert [(line["event"], round(line["seconds"])) for line in logs] == [("wall_clock_stepped", round(step))]


async def test_a_clock_that_is_slewed_gently_changes_nothing(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "GUARD_INTERVAL", 0.002)
    looks = 0
    wall = time.time

    def slewed() -> float:
        nonlocal looks
        looks += 1
        return wall() + 1.0

    drum = Drum()
    metronome = Metronome([Beat(name="rarely", every=RARELY, act=drum)])
    async with running(metronome.run()):
        await until(lambda: drum.beats == 1)
        monkeypatch.setattr("monitor.services.scheduler.time.time", slewed)
        await until(lambda: looks > 5)
    assert drum.beats == 1


def test_a_beat_that_was_missed_is_never_made_up_for() -> None:
    every = Every(timedelta(seconds=1))
    now = datetime(2030, 1, 1, tzinfo=UTC)
    assert every.get_next_fire_time(None, now) == now
    for late in (timedelta(0), timedelta(seconds=1), timedelta(hours=8)):
        following = every.get_next_fire_time(now - late, now)
        assert following == now + timedelta(seconds=1)
        assert following > now


async def test_beats_under_way_at_the_end_are_cut_off_without_an_error(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    async def act() -> None:
        await asyncio.sleep(0)

    often = timedelta(milliseconds=1)
    beats = [Beat(name=f"quick {number}", every=often, act=act) for number in range(20)]

    async def cut_off(metronome: Metronome) -> None:
        async with running(metronome.run()):
            await until(lambda: metronome.beats > 40)
        await asyncio.sleep(0)

    for _ in range(10):
        await cut_off(Metronome([*beats, Beat(name="hanging", every=often, act=hang)]))
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
