"""Telling systemd that the process is ready, alive or stopping; silent where there is no systemd."""

import os
import socket
from datetime import timedelta


def notify(state: str) -> bool:
    """Send one state such as `READY=1`; False when nobody asked for it or nobody listens."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        try:
            sender.sendto(state.encode(), address)
        except OSError:
            return False
    return True


def watchdog_interval() -> timedelta | None:
    """Return how often systemd wants `WATCHDOG=1` at the least, None when it does not watch this process."""
    wanted = os.environ.get("WATCHDOG_USEC", "")
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()) or not wanted.isdecimal():
        return None
    # 0 would have us send without a pause.
    return timedelta(microseconds=int(wanted)) or None
