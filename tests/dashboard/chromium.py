"""Debian's Chromium as a process of its own, which many tests, each with its own event loop, connect to."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from playwright.async_api import Browser, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
START_SECONDS = 60.0
ARGUMENTS = (
    "--headless",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
    # Its sandbox does not work for root or in most containers, and it is shown nothing but pages of ours.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
)


def find() -> str | None:
    """Return the program: the one that CHROMIUM names, else the first on PATH."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def running(program: str, profile: Path) -> Iterator[str]:
    """Run the browser, with `profile` as its folder; give the address for its control."""
    process = subprocess.Popen(
        [program, *ARGUMENTS, f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield f"http://127.0.0.1:{_port(process, profile / 'DevToolsActivePort')}"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _port(process: subprocess.Popen[bytes], announcement: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError):
            lines = announcement.read_text().splitlines()
            if lines:
                return lines[0]
        time.sleep(0.05)
    raise RuntimeError(f"Chromium did not start within {START_SECONDS:.0f} s.")


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[Browser]:
    """Control the browser from the running event loop."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.connect_over_cdp(address)
        try:
            yield browser
        finally:
            await browser.close()
