"""What pydantic says against a value, in words for whoever wrote the value and has never heard of pydantic."""

from pydantic_core import ErrorDetails

WORDS = {
    "missing": "is missing",
    "extra_forbidden": "is not known here",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a smaller number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "uuid_type": "must be an id",
    "uuid_parsing": "must be an id",
    "list_type": "must be a list",
    "dict_type": "must be a JSON object",
    "model_type": "must be a JSON object",
    "model_attributes_type": "must be a JSON object",
}
# How other messages begin, and what that comes to behind the name of a field.
BEGINNINGS = {
    "Value error, ": "",
    "Input should be ": "must be ",
    "String should have ": "must have ",
    "List should have ": "must have ",
    "Dictionary should have ": "must have ",
}


def words(entry: ErrorDetails) -> str:
    """Return what is wrong, to be read after the name of the field; without a full stop."""
    if (known := WORDS.get(entry["type"])) is not None:
        return known
    message = entry["msg"].removesuffix(".")
    for beginning, ours in BEGINNINGS.items():
        if message.startswith(beginning):
            return ours + message.removeprefix(beginning)
    return message
