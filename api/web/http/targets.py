"""The target of a request without the one parameter that may be another one each time: what is left is remembered."""

import re
from functools import lru_cache

from api.fleet import filters

SESSION = "session="
# One of the requests at work is looked at in several places.
MOST_AT_WORK = 64
# With names that need no decoding, among which it is once, with a value that needs none either.
_OTHER = r"(?!session=)[^&=%]+=[^&]*"
_WITH_A_SESSION = re.compile(
    rf"(?P<before>[^?]*\?(?:{_OTHER}&)*)"
    rf"session=(?P<session>[A-Za-z0-9._~:@/-]{{1,{filters.MAX_SESSION}}})"
    rf"(?P<after>(?:&{_OTHER})*)"
)


@lru_cache(MOST_AT_WORK)
def without_session(target: str) -> tuple[str, str | None]:
    """Take `session` out of the target of a request, and return what is left and the session.

    Where it is not there once, in its simplest form, the target is left as it is.
    """
    found = _WITH_A_SESSION.fullmatch(target)
    if found is None:
        return target, None
    before, session, after = found.groups()
    # Before it stands `?` or `&`, of which one is too many now.
    return (before + after[1:] if after else before[:-1]), session
