"""What was allowed and ends: the long answers end with it, and others' time-outs stay what they are."""

import asyncio

import pytest

from api.fleet.access import grant
from api.fleet.access.grant import Grant
from api.fleet.refusals import Refused

EXPIRED = Refused("token_expired", "It has expired.")
REVOKED = Refused("token_revoked", "It was revoked.")


async def wait(granted: Grant) -> None:
    """Something that takes for ever."""
    async with granted.lasting():
        await asyncio.Event().wait()


async def test_what_lasts_ends_at_the_deadline() -> None:
    with pytest.raises(Refused) as caught:
        await asyncio.wait_for(wait(Grant(deadline=grant.now() + 0.05, expired=EXPIRED)), 20)
    assert caught.value is EXPIRED


async def test_all_that_lasts_ends_when_it_is_ended_and_nothing_begins_any_more() -> None:
    granted = Grant(deadline=grant.now() + 1e9, expired=EXPIRED)
    waiting = [asyncio.create_task(wait(granted)) for _ in range(3)]
    await asyncio.sleep(0)
    granted.end(REVOKED)
    assert await asyncio.gather(*waiting, return_exceptions=True) == [REVOKED] * 3
    with pytest.raises(Refused):
        await wait(granted)
    assert granted.refusal() is REVOKED


async def test_the_first_reason_is_the_one_that_is_told() -> None:
    granted = Grant(deadline=grant.now() - 1, expired=EXPIRED)
    granted.end(REVOKED)
    assert granted.refusal() is EXPIRED


async def test_a_time_out_of_the_block_itself_goes_through() -> None:
    with pytest.raises(TimeoutError):
        async with Grant().lasting():
            raise TimeoutError
    with pytest.raises(asyncio.CancelledError):
        async with Grant().lasting():
            raise asyncio.CancelledError
