"""The description of the API as OpenAPI 3.1, made of its operations and nothing else.

The shapes are JSON schemas from the very types that validate and write what goes over the wire.
"""

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from importlib import metadata
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.fleet.filters import Parameters
from api.web import problems
from api.web.http.parameters import NoParameters
from api.web.openapi.operation import Operation
from api.web.problems import CODES, MEDIA_TYPE, TYPE_PREFIX

REF = "#/components/schemas/{model}"
Schema = dict[str, Any]
VERSION = "3.1.0"
DISTRIBUTION = "ollama-fleet"
TITLE = "ollama-fleet"
ABOUT = (
    "A fleet of Ollama servers, kept true in PostgreSQL: servers, their health and models, every change as an event. "
    "Errors are `application/problem+json` (RFC 9457) with a stable `code`."
)
SECURITY = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "Of `ollama-fleet token create`, with the scope `read` or `write`. An API on a loopback address "
        "wants none before the first one was made; signs of life never need one.",
    }
}
WITH_A_TOKEN = (
    "token_missing",
    "token_unknown",
    "token_expired",
    "token_revoked",
    "token_changed",
    "token_in_query",
    "several_tokens",
    "scope_missing",
    "too_many_failures",
)
ON_WRITING = ("unsupported_media_type",)
EVERYWHERE = (
    "bad_request",
    "host_not_allowed",
    "cross_site",
    "unknown_parameter",
    "internal",
    "database_unavailable",
    "too_many_connections",
)
NO_ROUTE = ("not_found", "method_not_allowed")
WITH_A_BODY = ("bad_json", "body_too_slow", "too_large", "unsupported_media_type", "invalid")
_PATH_PARAMETER = re.compile(r"{(?P<name>\w+)(:[^}]*)?}")
PATH_SCHEMAS = {
    "server_id": ({"type": "string", "format": "uuid"}, "The id of a server."),
    "model_name": ({"type": "string"}, "The name of a model; its `/` and `:` may be percent-encoded or not."),
}


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


class ProblemView(BaseModel):
    """What went wrong (RFC 9457). Further members depend on the code."""

    type: str
    title: str
    status: int
    code: str
    detail: str


def build(operations: Iterable[Operation]) -> dict[str, Any]:
    """Return the whole description."""
    known = list(operations)
    shapes = {operation.parameters for operation in known} | {NoParameters}
    bodies = {operation.body for operation in known if operation.body is not None}
    answers = {shape for operation in known for shape in _answers(operation)} | {ProblemView}
    components = Components(taken=sorted(shapes | bodies, key=_name), given=sorted(answers, key=_name))
    paths: dict[str, dict[str, Any]] = {}
    for operation in known:
        paths.setdefault(path_of(operation), {})[operation.method.lower()] = _describe(operation, components)
    components.drop(shapes)
    return {
        "openapi": VERSION,
        "info": {"title": TITLE, "description": ABOUT, "version": metadata.version(DISTRIBUTION)},
        "tags": [{"name": tag} for tag in dict.fromkeys(operation.tag for operation in known)],
        "paths": paths,
        "components": {"schemas": components.schemas, "securitySchemes": SECURITY},
        "security": [{"token": []}, {}],
    }


def path_of(operation: Operation) -> str:
    """Return the path of an operation as OpenAPI spells it."""
    return _PATH_PARAMETER.sub(r"{\g<name>}", operation.path)


def _describe(operation: Operation, components: Components) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": f"{operation.tag}_{operation.handler.__name__}",
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": [
            *_path_parameters(operation),
            *components.parameters(operation.parameters),
            *_headers(operation),
        ],
        "responses": _responses(operation, components),
    }
    if operation.body is not None:
        content: dict[str, Any] = {"schema": components.taken(operation.body)}
        if operation.body_example is not None:
            content["example"] = operation.body_example
        described["requestBody"] = {"required": True, "content": {type_: content for type_ in operation.body_types}}
    return described


def _path_parameters(operation: Operation) -> list[dict[str, Any]]:
    found = []
    for match in _PATH_PARAMETER.finditer(operation.path):
        schema, meaning = PATH_SCHEMAS[match["name"]]
        found.append({"name": match["name"], "in": "path", "required": True, "schema": schema, "description": meaning})
    return found


def _headers(operation: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "header", "required": False, "schema": {"type": "string"}, "description": meaning}
        for name, meaning in (operation.headers or {}).items()
    ]


def _responses(operation: Operation, components: Components) -> dict[str, Any]:
    good: dict[str, Any] = {"description": operation.summary}
    if operation.answer is not None:
        content: dict[str, Any] = {"schema": components.given(operation.answer)}
        if operation.example is not None:
            content["example"] = operation.example
        good["content"] = {operation.media_type: content}
    elif operation.status is not HTTPStatus.NO_CONTENT:
        good["content"] = {operation.media_type: {"schema": {"type": "string"}}}
    responses = {str(operation.status.value): good}
    for status, shape in (operation.other_answers or {}).items():
        content = {operation.media_type: {"schema": components.given(shape)}}
        responses[str(status.value)] = {"description": status.phrase, "content": content}
    for number, codes in sorted(_by_status(_codes(operation)).items()):
        problem = _problem(codes, components)
        if str(number) in responses:
            responses[str(number)]["content"] |= problem["content"]
        else:
            responses[str(number)] = problem
    return responses


def _codes(operation: Operation) -> list[str]:
    extra: tuple[str, ...] = WITH_A_BODY if operation.body is not None else ()
    if operation.parameters is not NoParameters:
        extra = (*extra, "invalid")
    if _PATH_PARAMETER.search(operation.path):
        # What stands for the parameter may make another path of it, at which there is nothing or another method.
        extra = (*extra, *NO_ROUTE)
    if operation.method != "GET":
        extra = (*extra, *ON_WRITING)
    return list(dict.fromkeys((*operation.problems, *extra, *WITH_A_TOKEN, *EVERYWHERE)))


def _by_status(codes: Sequence[str]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for code in codes:
        found.setdefault(CODES[code].status.value, []).append(code)
    return found


def _problem(codes: Sequence[str], components: Components) -> dict[str, Any]:
    schema = {"allOf": [components.given(ProblemView)], "properties": {"code": {"enum": list(codes)}}}
    examples = {code: {"value": _example(code)} for code in codes}
    return {
        "description": " ".join(f"`{code}`: {CODES[code].meaning}" for code in codes),
        "content": {MEDIA_TYPE: {"schema": schema, "examples": examples}},
    }


def _example(code: str) -> dict[str, Any]:
    known = CODES[code]
    return {
        "type": TYPE_PREFIX + code,
        "title": problems.title(code),
        "status": known.status.value,
        "code": code,
        "detail": known.meaning,
    }


def _answers(operation: Operation) -> Iterable[type[BaseModel]]:
    if operation.answer is not None:
        yield operation.answer
    yield from (operation.other_answers or {}).values()


def _name(shape: type[BaseModel]) -> str:
    return shape.__name__
