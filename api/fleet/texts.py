"""Texts, numbers and shapes that are taken: what the database can hold and a screen can show, nothing else."""

import unicodedata
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

MAX_INT = 2**31 - 1
MAX_LABELS = 64
# Control characters, lone surrogates, line and paragraph separators.
UNUSABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})


class Strict(BaseModel):
    """Refuses unknown fields and values of another type, and repeats none in an error."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


def is_usable(text: str) -> bool:
    """Whether the database can hold the text and a screen can show it on one line."""
    return not any(unicodedata.category(char) in UNUSABLE for char in text)


def usable(text: str) -> str:
    """Return the text; raises ValueError if it is not usable or ends in blanks."""
    if not is_usable(text):
        raise ValueError("must not contain control characters or line breaks")
    if text != text.strip():
        raise ValueError("must not begin or end with a blank")
    return text


def _without_repetition(texts: list[str]) -> list[str]:
    return list(dict.fromkeys(texts))


Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(usable)]
ModelTitle = Annotated[str, Field(min_length=1, max_length=512), AfterValidator(usable)]
ApiVersion = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$")]
ApiChoice = Literal["auto", "native", "openai"]
Capability = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(usable)]
Capabilities = Annotated[list[Capability], Field(max_length=64), AfterValidator(_without_repetition)]
LabelKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$")]
LabelValue = Annotated[str, Field(max_length=256), AfterValidator(usable)]
Labels = Annotated[dict[LabelKey, LabelValue], Field(max_length=MAX_LABELS)]
Slots = Annotated[int, Field(ge=1, le=MAX_INT)]
Site = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(usable)]
Priority = Annotated[int, Field(ge=-MAX_INT, le=MAX_INT)]
IntervalSeconds = Annotated[float, Field(ge=0.1, le=86_400, allow_inf_nan=False)]
TimeoutSeconds = Annotated[float, Field(ge=0.1, le=300, allow_inf_nan=False)]
Streak = Annotated[int, Field(ge=1, le=100)]
