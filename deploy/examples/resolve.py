"""Asks ollama-fleet which server to take, and talks to it: `python resolve.py FLEET MODEL PROMPT [SERVER_URL]`.

The answer's `base_url` and `headers` are all that a client needs. `headers` hold the server's credential; the fleet is
asked for them when there is an OLLAMA_FLEET_API_TOKEN, which then needs the scopes read and credentials.
"""

import argparse
import json
import os
import sys
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import httpx
from ollama import Client, ResponseError
from openai import OpenAI, OpenAIError

PATIENCE = 10.0  # Seconds for the fleet's answer, which comes from its memory.


def resolve(fleet: str, **question: str) -> dict[str, Any]:
    """Return the server for a `model`, or the one at a `server_url`; ends the program with the fleet's reason."""
    asked = Request(f"{fleet}/api/resolve?{urlencode(question)}")
    if token := os.environ.get("OLLAMA_FLEET_API_TOKEN"):
        asked = Request(f"{asked.full_url}&include=credentials", headers={"Authorization": f"Bearer {token}"})
    try:
        with urlopen(asked, timeout=PATIENCE) as response:
            answer: dict[str, Any] = json.load(response)
    except HTTPError as refusal:
        problem = json.load(refusal)  # `code` is for programs, `detail` says what to do, `nearest` may name models.
        sys.exit(f"{problem['code']}: {problem['detail']}")
    return answer


def talk(answer: dict[str, Any], prompt: str) -> None:
    """Say the prompt to the server of an answer, by its own API and by OpenAI's."""
    where, headers = answer["base_url"], answer.get("headers") or {}

    native = Client(host=where, headers=headers)
    reply = native.chat(model=answer["model_name"], messages=[{"role": "user", "content": prompt}])
    print("ollama:", reply.message.content)  # noqa: T201  # The lines are its output.

    # The OpenAI client wants some key; `default_headers` win over the one it makes of that.
    openai = OpenAI(base_url=f"{where}/v1", api_key="unused", default_headers=headers)
    completion = openai.chat.completions.create(
        model=answer["model_name"], messages=[{"role": "user", "content": prompt}]
    )
    print("openai:", completion.choices[0].message.content)  # noqa: T201  # The lines are its output.


def main() -> None:
    parser = argparse.ArgumentParser(description="Asks ollama-fleet which server to take, and talks to it.")
    parser.add_argument("fleet", help="the fleet's API, such as http://127.0.0.1:8420")
    parser.add_argument("model")
    parser.add_argument("prompt")
    parser.add_argument("server_url", nargs="?", help="this server and no other, registered or not")
    given = parser.parse_args()
    question = {"model": given.model} | ({"server_url": given.server_url} if given.server_url else {})
    try:
        answer = resolve(given.fleet, **question)
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"{given.fleet} does not answer as a fleet's API does: {getattr(error, 'reason', error)}")
    try:
        talk(answer, given.prompt)
    except (OSError, ResponseError, OpenAIError, httpx.HTTPError) as error:
        sys.exit(f"{answer['base_url']} does not answer: {error}")


if __name__ == "__main__":
    main()
