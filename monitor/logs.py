"""Log lines: JSON for machines, columns for people, and nothing in them that must stay secret."""

import logging
import os
import sys

import structlog

from monitor.settings import LogFormat, LogLevel


def configure(format_: LogFormat, level: LogLevel) -> None:
    """Set up structlog, and the standard library's logging of our dependencies, to write to stderr."""
    json_lines = format_ is LogFormat.JSON or (format_ is LogFormat.AUTO and not is_watched())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # Without locals: a traceback of ours may pass a credential.
        structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))
        if json_lines
        else structlog.processors.format_exc_info,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(default=str)
        if json_lines
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    number = logging.getLevelNamesMapping()[level.value.upper()]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    # It warns of every beat that waits for a busy loop; the watchdog tells what matters of that.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)


def is_watched() -> bool:
    """Whether what is written to stderr goes to a terminal with a person before it."""
    return sys.stderr.isatty() and "JOURNAL_STREAM" not in os.environ
