"""The shapes of the API as JSON schemas, from the very types that validate and write what goes over the wire."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.fleet.filters import Parameters

REF = "#/components/schemas/{model}"
Schema = dict[str, Any]


class Components:
    """Schemas by name, shared by all operations; what is taken and what is given may differ in shape."""

    def __init__(self, *, taken: Iterable[type[BaseModel]], given: Iterable[type[BaseModel]]) -> None:
        modes = [*((shape, "validation") for shape in taken), *((shape, "serialization") for shape in given)]
        self._references, definitions = models_json_schema(modes, ref_template=REF)  # type: ignore[arg-type]
        self.schemas: dict[str, Schema] = definitions.get("$defs", {})

    def taken(self, shape: type[BaseModel]) -> Schema:
        """Return the reference to a body of a request."""
        return self._references[shape, "validation"]

    def given(self, shape: type[BaseModel]) -> Schema:
        """Return the reference to a body of an answer."""
        return self._references[shape, "serialization"]

    def parameters(self, shape: type[Parameters]) -> list[Schema]:
        """Return the query parameters of a shape, each with its own schema."""
        schema = self.schemas[self.taken(shape)["$ref"].rpartition("/")[2]]
        required = schema.get("required", [])
        return [
            {"name": name, "in": "query", "required": name in required, "schema": _without_null(field)}
            for name, field in schema.get("properties", {}).items()
        ]

    def drop(self, shapes: Iterable[type[BaseModel]]) -> None:
        """Leave out what only stands for its fields."""
        for shape in shapes:
            self.schemas.pop(self.taken(shape)["$ref"].rpartition("/")[2], None)


def _without_null(field: Schema) -> Schema:
    """Return the schema of a parameter: one that is left out is not null."""
    kept = {name: value for name, value in field.items() if name not in {"title", "anyOf"} and value is not None}
    others = [one for one in field.get("anyOf", []) if one != {"type": "null"}]
    return kept | (others[0] if len(others) == 1 else {"anyOf": others} if others else {})
