"""The description of the API as one page for people: plain HTML from the document, without a script."""

import json
import re
from collections.abc import Iterator
from html import escape
from importlib import resources
from typing import Any

STYLE = resources.files("api.web.openapi").joinpath("page.css").read_text()
_CODE = re.compile(r"`([^`]+)`")
METHODS = ("get", "post", "put", "patch", "delete")


def render(document: dict[str, Any]) -> str:
    """Return the page; every text of the document is escaped."""
    return "".join(_page(document))


def _page(document: dict[str, Any]) -> Iterator[str]:
    info = document["info"]
    title = escape(f"{info['title']} {info['version']}")
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f'<title>API of {title}</title><link rel="stylesheet" href="docs/style.css"></head><body><main>'
    yield f"<h1>{title}</h1><p>{_prose(info['description'])}</p>"
    yield '<p>For programs: <a href="openapi.json">openapi.json</a> (OpenAPI 3.1).</p>'
    for tag in document["tags"]:
        yield f"<section><h2>{escape(tag['name'])}</h2>"
        for path, methods in document["paths"].items():
            for method in METHODS:
                if method in methods and tag["name"] in methods[method]["tags"]:
                    yield from _operation(path, method, methods[method])
        yield "</section>"
    yield "<section><h2>Shapes</h2>"
    for name, schema in sorted(document["components"]["schemas"].items()):
        yield from _shape(name, schema)
    yield "</section></main></body></html>"


def _operation(path: str, method: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f'<details id="{escape(operation["operationId"])}"><summary>'
    yield f"<code>{method.upper()} {escape(path)}</code>{_prose(operation['summary'])}</summary>"
    if operation["parameters"]:
        yield "<h3>Parameters</h3><table><tr><th>Name</th><th>In</th><th>What</th></tr>"
        for parameter in operation["parameters"]:
            what = parameter.get("description", "")
            yield f"<tr><td><code>{escape(parameter['name'])}</code></td><td>{escape(parameter['in'])}</td>"
            yield f"<td>{_type(parameter['schema'])} {escape(what)}</td></tr>"
        yield "</table>"
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"<h3>Body</h3><p>{_type(content['schema'])} as <code>{escape(media_type)}</code></p>"
        if "example" in content:
            yield f"<pre>{escape(json.dumps(content['example'], indent=2))}</pre>"
    yield "<h3>Answers</h3><table><tr><th>Status</th><th>What</th></tr>"
    for status, answer in operation["responses"].items():
        yield f"<tr><td><code>{escape(status)}</code></td><td>{_answer(answer)}</td></tr>"
    yield "</table></details>"


def _prose(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(text))


def _answer(answer: dict[str, Any]) -> str:
    shapes = [_type(content["schema"]) for content in answer.get("content", {}).values() if "$ref" in content["schema"]]
    return f"{_prose(answer['description'])} {' '.join(shapes)}"


def _shape(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f'<details id="{escape(name)}"><summary><code>{escape(name)}</code>'
    yield f"{_prose(schema.get('description', ''))}</summary>"
    required = schema.get("required", [])
    yield "<table><tr><th>Field</th><th>What</th></tr>"
    for field, one in schema.get("properties", {}).items():
        mark = " (required)" if field in required else ""
        what = f"{_type(one)}{mark} {escape(one.get('description', ''))}"
        yield f"<tr><td><code>{escape(field)}</code></td><td>{what}</td></tr>"
    yield "</table></details>"


def _type(schema: dict[str, Any]) -> str:
    """Return a few words on a schema; a reference is a link to the shape."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in schema:
            return " or ".join(_type(one) for one in schema[choice])
    if "enum" in schema:
        return escape(" | ".join(str(one) for one in schema["enum"]))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    limits = [
        f"{name} {schema[name]}" for name in ("minimum", "maximum", "maxLength", "pattern", "format") if name in schema
    ]
    note = f" ({', '.join(limits)})" if limits else ""
    default = f", default {json.dumps(schema['default'])}" if schema.get("default") is not None else ""
    return escape(f"{schema.get('type', 'anything')}{note}{default}")
