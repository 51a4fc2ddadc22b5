"""Wrong tokens counted per client address: pure, handed the time, and bounded in memory."""

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum, auto

# So many at once are an operator who mixes up his tokens; then one every few seconds.
BURST = 10
SECONDS_PER_FAILURE = 6.0
MOST_ADDRESSES = 10_000
IPV6_PREFIX = 64


class Outcome(Enum):
    """What a failure means for its address."""

    FIRST = auto()
    COUNTED = auto()
    EXHAUSTED = auto()


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class Failures:
    """How many failures each address still has left; times are seconds of one monotonic clock.

    Nobody with a right token is ever kept waiting for the failures of others behind the same address: this
    only says how a wrong one is answered, and whether the database is asked about it. 256 random bits need
    no protection against guessing.
    """

    def __init__(self) -> None:
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def seconds_to_wait(self, address: str, *, now: float) -> float:
        """Return how long an address must wait before it may fail again; 0 when it may now."""
        bucket = self._buckets.get(network(address))
        if bucket is None:
            return 0.0
        return max(0.0, (1 - self._left(bucket, now)) * SECONDS_PER_FAILURE)

    def count(self, address: str, *, now: float) -> Outcome:
        """Count a failure that `seconds_to_wait` let pass."""
        key = network(address)
        bucket = self._buckets.pop(key, None)
        left = BURST if bucket is None else self._left(bucket, now)
        self._buckets[key] = _Bucket(left - 1, now)
        if len(self._buckets) > MOST_ADDRESSES:
            # The one that has failed least recently has most of its burst back.
            self._buckets.popitem(last=False)
        if left >= BURST:
            return Outcome.FIRST
        # Told when it uses up its burst, and not each time that one more was earned and spent.
        had_some = bucket is not None and bucket.left >= 1
        return Outcome.EXHAUSTED if had_some and left - 1 < 1 else Outcome.COUNTED

    def __len__(self) -> int:
        """How many addresses are remembered."""
        return len(self._buckets)

    @staticmethod
    def _left(bucket: _Bucket, now: float) -> float:
        return min(float(BURST), bucket.left + (now - bucket.at) / SECONDS_PER_FAILURE)


def network(address: str) -> str:
    """Return what counts as one client: an IPv4 address, or the /64 that an IPv6 host chooses its own from."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, IPV6_PREFIX), strict=False))
