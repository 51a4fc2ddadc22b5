"""Log lines: one JSON object per line for machines, readable lines for people, no local variables in either."""

import json

from tests.process.programs import finished

SPEAKING = """
import logging, sys
import structlog
from monitor import logs
from monitor.settings import LogFormat, LogLevel

def fail():
    password = "hunter" + str(2)
    raise RuntimeError("a bug")

def speak():
    log = structlog.get_logger("monitor.test")
    log.debug("whispered")
    log.info("said", server="gpu-1", text="two\\nlines", what=object)
    logging.getLogger("library").info("chatter")
    logging.getLogger("library").warning("a library %s", "warns")
    try:
        fail()
    except RuntimeError:
        log.exception("work_failed")
        logging.getLogger("library").exception("failed, too")

"""


async def spoken(program: str) -> str:
    """Return what the program says on stderr."""
    code, errors = await finished(SPEAKING + program)
    assert code == 0, errors
    return errors


async def test_for_machines_each_line_is_one_object() -> None:
    text = await spoken("for format in ('json', 'auto'): logs.configure(LogFormat(format), LogLevel.INFO); speak()")
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["event"] for line in lines] == ["said", "a library warns", "work_failed", "failed, too"] * 2
    assert [line["level"] for line in lines] == ["info", "warning", "error", "error"] * 2
    assert all(line["timestamp"].endswith("Z") for line in lines)
    assert (lines[0]["server"], lines[0]["text"]) == ("gpu-1", "two\nlines")
    for line in lines[2:4]:
        (exception,) = line["exception"]
        assert (exception["exc_type"], exception["exc_value"]) == ("RuntimeError", "a bug")
    assert "hunter2" not in text
    assert "locals" not in text


async def test_for_people_lines_are_text_with_a_plain_traceback() -> None:
    text = await spoken("logs.configure(LogFormat.TEXT, LogLevel.INFO); speak()")
    assert "said" in text
    assert "server=gpu-1" in text
    assert "a library warns" in text
    assert text.count("RuntimeError: a bug") == 2
    assert "hunter2" not in text
    assert "\x1b[" not in text


async def test_less_important_lines_are_left_out() -> None:
    text = await spoken("for level in LogLevel: logs.configure(LogFormat.JSON, level); speak()")
    everything = ["whispered", "said", "a library warns", "work_failed", "failed, too"]
    expected = everything + everything[1:] + everything[2:] + everything[3:]
    assert [json.loads(line)["event"] for line in text.splitlines()] == expected


PERSON = """
import io, os
class Terminal(io.StringIO):
    def isatty(self):
        return True

real, sys.stderr = sys.stderr, Terminal()
os.environ.pop("JOURNAL_STREAM", None)
for _ in range(2):
    logs.configure(LogFormat.AUTO, LogLevel.INFO)
    structlog.get_logger("monitor.test").info("said")
    os.environ["JOURNAL_STREAM"] = "8:1"
real.write(sys.stderr.getvalue())
"""


async def test_a_person_at_a_terminal_gets_text_and_the_journal_gets_json() -> None:
    terminal, journal = (await spoken(PERSON)).splitlines()
    assert "said" in terminal
    assert not terminal.startswith("{")
    assert json.loads(journal)["event"] == "said"
