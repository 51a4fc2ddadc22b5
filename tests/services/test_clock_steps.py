"""The wall clock of the whole process is set by an hour: checks that are due by the monotonic clock go on."""

import time
from datetime import datetime, timedelta, tzinfo
from typing import Self

import apscheduler.schedulers.base
import pytest

from monitor.domain.schedule import Schedule
from monitor.domain.server import ServerId
from monitor.services import scheduler
from monitor.services.scheduler import Beat, Metronome
from monitor.services.sweep import Sweep
from tests.services.conftest import Running, until, watched

INTERVAL = 0.05
BEAT = timedelta(milliseconds=10)


class WallClock:
    """The clock on the wall, as `time.time` and `datetime.now` tell it, and the hand that sets it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.step = timedelta()
        clock = self

        class Shown(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Self:
                return super().now(tz) + clock.step

        true_time = time.time
        patch.setattr("monitor.services.scheduler.time.time", lambda: true_time() + self.step.total_seconds())
        patch.setattr(scheduler, "datetime", Shown)
        patch.setattr(apscheduler.schedulers.base, "datetime", Shown)


@pytest.mark.parametrize("hours", [-1, 1])
async def test_after_a_step_of_an_hour_checks_go_on(
    running: Running, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    # The guard looks often; in life its second is far less than an interval, too.
    monkeypatch.setattr(scheduler, "GUARD_INTERVAL", INTERVAL)
    clock = WallClock(monkeypatch)
    agenda, checks = Schedule(), 0

    def check(server_id: ServerId) -> None:
        nonlocal checks
        checks += 1
        agenda.set(server_id, time.monotonic() + INTERVAL)

    check(watched().server.id)
    beat = Beat(name="checks", every=BEAT, act=Sweep(agenda, check, every=BEAT).look)
    async with running(Metronome([beat]).run()):
        await until(lambda: checks > 3)
        clock.step = timedelta(hours=hours)
        mark = checks
        await until(lambda: checks > mark + 3)
        clock.step = timedelta()
        mark = checks
        await until(lambda: checks > mark + 3)


async def test_without_the_guard_a_clock_set_back_would_stop_the_checks(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Shows that the clock of these tests reaches APScheduler: its next beat is an hour away.
    monkeypatch.setattr(scheduler, "GUARD_INTERVAL", 3600)
    clock = WallClock(monkeypatch)
    metronome = Metronome([Beat(name="checks", every=BEAT, act=Sweep(Schedule(), lambda _: None, every=BEAT).look)])
    async with running(metronome.run()):
        await until(lambda: metronome.beats > 3)
        clock.step = timedelta(hours=-1)
        (job,) = metronome._scheduler.get_jobs()
        due = job.next_run_time
        await until(lambda: metronome._scheduler._timeout.when() - metronome._scheduler._eventloop.time() > 3500)
        assert job.next_run_time - due < timedelta(minutes=1)
