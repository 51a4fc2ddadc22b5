"""Text that came from a server, made fit for a database, a terminal and a web page."""


def clean(value: str, limit: int) -> str:
    """Return at most `limit` printable characters: no controls, no NUL, no lone surrogates."""
    value = value[: limit * 4]
    if not value.isprintable():
        value = "".join(character for character in value if character.isprintable())
    return value.strip()[:limit]
