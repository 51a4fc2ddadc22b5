"""`python -m tests.daemon.blockable_monitor`: the daemon, with an event loop that stands still on SIGUSR1."""

import resource
import signal
import sys
import time

from monitor import __main__ as monitor

FOR_EVER = 3600


def main() -> int:
    """Run the daemon."""
    # Killed with SIGABRT, it is not to fill the disk.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # The handler runs between two turns of the loop, and ends neither.
    signal.signal(signal.SIGUSR1, lambda _number, _frame: time.sleep(FOR_EVER))
    return monitor.main()


if __name__ == "__main__":
    sys.exit(main())
