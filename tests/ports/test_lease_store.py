"""What every lease store keeps to: one owner at a time, and an epoch that only grows."""

from tests.ports.worlds import TTL, World


async def test_one_of_two_has_it_until_it_is_given_up(world: World) -> None:
    one, two = world.leases(), world.leases()
    held = await one.take(TTL)
    assert held is not None
    assert await two.take(TTL) is None
    assert await one.take(TTL) is None
    assert await one.renew(held, TTL)
    await one.give_up(held)
    assert not await one.renew(held, TTL)
    follows = await two.take(TTL)
    assert follows is not None
    assert (follows.shard, follows.epoch) == (held.shard, held.epoch + 1)
    assert follows.owner != held.owner


async def test_one_whose_time_is_over_is_anybodys_and_the_stale_owner_cannot_give_it_up(world: World) -> None:
    one, two = world.leases(), world.leases()
    stale = await one.take(TTL)
    assert stale is not None
    await world.end_lease()
    fresh = await two.take(TTL)
    assert fresh is not None
    assert fresh.epoch > stale.epoch
    assert not await one.renew(stale, TTL)
    await one.give_up(stale)
    assert await two.renew(fresh, TTL)


async def test_one_whose_time_is_over_and_that_nobody_took_is_renewed(world: World) -> None:
    one, two = world.leases(), world.leases()
    held = await one.take(TTL)
    assert held is not None
    await world.end_lease()
    assert await one.renew(held, TTL)
    assert await two.take(TTL) is None
