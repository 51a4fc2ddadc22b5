"""The log of requests that are no HTTP: aiohttp quotes their bytes, among which may be a token."""

import logging

from aiohttp.http_exceptions import HttpProcessingError

NAME = "api.protocol"


def logger() -> logging.Logger:
    """Return the logger for aiohttp's server."""
    found = logging.getLogger(NAME)
    found.addFilter(_without_content)
    return found


def _without_content(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.msg, record.args = f"request_not_understood: {type(error).__name__}, status {error.code}", ()
        record.exc_info = record.exc_text = None
        record.levelno, record.levelname = logging.INFO, "INFO"
    return True
