"""The options that say what a server is like, shared by `servers add` and `servers set`."""

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, TypeVar

import click

NONE = "none"


class Clear(Enum):
    """The value of an option that gives a field its default back."""

    CLEAR = NONE


class Override(click.ParamType[Any]):
    """A number, or a duration in seconds, that overrides a setting; `none` takes the override away."""

    def __init__(self, *, duration: bool) -> None:
        self._duration = duration
        self.name = "duration" if duration else "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return seconds, a number, or CLEAR."""
        if value == NONE:
            return Clear.CLEAR
        if not self._duration:
            return click.INT.convert(value, param, ctx)
        from monitor.durations import parse_duration  # noqa: PLC0415  (0.3 s that `--help` need not wait for)

        try:
            return parse_duration(value).total_seconds()
        except ValueError as error:
            self.fail(f"{value!r}: {error}, or none.", param, ctx)


class OrNone(click.ParamType[Any]):
    """A text; `none` takes it away."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the text, or CLEAR."""
        return Clear.CLEAR if value == NONE else value


SITE = OrNone()
DURATION, NUMBER = Override(duration=True), Override(duration=False)

OPTIONS = (
    click.option("--priority", type=int, metavar="N", help="Higher is preferred; 0 if not given."),
    click.option("--default/--no-default", "is_default", default=None, help="The one to take when nothing is asked."),
    click.option("--active/--inactive", "is_active", default=None, help="An inactive server is never probed."),
    click.option("--max-concurrent", type=int, metavar="N", help="Most requests at once; 1 if not given."),
    click.option(
        "--capability",
        "capabilities",
        multiple=True,
        metavar="C",
        help="What the server is for, such as chat; may be repeated. All of them are given anew, or none.",
    ),
    click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="A label; may be repeated."),
    click.option("--interval", "check_interval_seconds", type=DURATION, metavar="15s", help="Time between checks."),
    click.option("--timeout", "check_timeout_seconds", type=DURATION, metavar="5s", help="Time for a probe."),
    click.option("--rise", type=NUMBER, metavar="N", help="Good probes in a row that bring it back up."),
    click.option("--fall", type=NUMBER, metavar="N", help="Bad probes in a row that take it down."),
    click.option(
        "--watch/--no-watch", "connection_watch", default=None, help="Hold an idle connection to see its death at once."
    ),
    click.option("--site", type=SITE, metavar="SITE", help="The site where the server stands; none takes it away."),
    click.option("--api-version", metavar="V", help="Path prefix of its OpenAI-style API; v1 if not given."),
)

Function = TypeVar("Function", bound=Callable[..., Any])


def options(function: Function) -> Function:
    """Give a command all of them, in this order."""
    for option in reversed(OPTIONS):
        function = option(function)
    return function


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that were given, as the schemas of the API take them; None gives a default back."""
    fields = {name: value for name, value in values.items() if value not in (None, ())}
    fields = {name: None if value is Clear.CLEAR else value for name, value in fields.items()}
    if "capabilities" in fields:
        capabilities = list(fields["capabilities"])
        fields["capabilities"] = [] if capabilities == [NONE] else capabilities
    if "labels" in fields:
        fields["labels"] = labels(fields["labels"])
    return fields


def labels(texts: Iterable[str]) -> dict[str, str]:
    """Read labels written as KEY=VALUE."""
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            before, colon, after = text.partition(":")
            example = f": --label {before}={after}" if before and colon else ""
            raise click.UsageError(f"A label is written KEY=VALUE, not {text!r}{example}.")
        found[key] = value
    return found
