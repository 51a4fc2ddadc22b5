"""Everything a server can do to harm a monitor, for tests in which it must do none."""

from tests.fakes import behaviours

HOSTILE = (
    behaviours.hang(),
    behaviours.hang_up(),
    behaviours.reset(),
    behaviours.cut_short(),
    behaviours.status(403),
    behaviours.status(503, headers={"Retry-After": "1"}),
    behaviours.html(),
    behaviours.redirect("http://127.0.0.1:9/"),
    behaviours.drip(),
    behaviours.endless_body(),
    behaviours.endless_headers(),
    behaviours.continue_flood(),
    behaviours.gzip_bomb(),
    behaviours.bad_chunks(),
    behaviours.nested(),
)
