"""When what is known of a server is of the past: nobody has checked it for longer than three checks take."""

INTERVALS = 3


def fresh_for(*, interval: float, timeout: float) -> float:
    """Return for how many seconds after a check of a server its facts hold; both arguments are seconds.

    `api/fleet/queries/servers.py` says the same in SQL.
    """
    return INTERVALS * interval + timeout
