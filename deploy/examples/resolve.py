"""Asks ollama-fleet which servers to take, and talks to the first: `python resolve.py FLEET MODEL PROMPT [SERVER_URL]`.

A server may die between the answer and the prompt. So the fleet is asked for candidates, and the next one is taken
when the connection to one is refused or lost before anything was printed.

`base_url`, `headers` and the `api` of `server` are all that a client needs: `openai` is a server without Ollama's own
API. `headers` hold the server's credential; the fleet is asked for them when there is an OLLAMA_FLEET_API_TOKEN, which
then needs the scopes read and credentials.
"""

import argparse
import json
import os
import sys
from http import HTTPStatus
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import httpx
from ollama import Client, ResponseError
from openai import APIConnectionError, OpenAI, OpenAIError

PATIENCE = 10.0  # Seconds for the fleet's answer, which comes from its memory.
CONNECTING = 5.0  # Seconds for a connection to a server; its answer may take as long as the model does.
CANDIDATES = 3
LOST = (ConnectionError, httpx.TransportError, APIConnectionError)


def resolve(fleet: str, **question: str | int) -> dict[str, Any]:
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


def talk(server: dict[str, Any], prompt: str) -> str:
    """Return what a server says to the prompt, by its own API and by OpenAI's, or by that alone if it has no other."""
    # Of a server that nobody registered, as of one that never answered, it is not known what it speaks.
    known = server.get("server") or {}
    said = []
    if known.get("api") != "openai":
        try:
            said.append(f"ollama: {talk_natively(server, prompt)}")
        except ResponseError as error:
            if known.get("api") is not None or error.status_code != HTTPStatus.NOT_FOUND:
                raise
    said.append(f"openai: {talk_as_openai(server, prompt, version=known.get('api_version') or 'v1')}")
    return "\n".join(said)


def talk_natively(server: dict[str, Any], prompt: str) -> str | None:
    """Return the answer by Ollama's own API."""
    patience = httpx.Timeout(None, connect=CONNECTING)
    client = Client(host=server["base_url"], headers=server.get("headers") or {}, timeout=patience)
    reply = client.chat(model=server["model_name"], messages=[{"role": "user", "content": prompt}])
    return reply.message.content


def talk_as_openai(server: dict[str, Any], prompt: str, *, version: str) -> str | None:
    """Return the answer by OpenAI's API; `version` is its prefix on the server."""
    # The client wants some key; `default_headers` win over the one it makes of that. It would try a server that is
    # gone twice more, where the next candidate is the better second try.
    client = OpenAI(
        base_url=f"{server['base_url']}/{version}",
        api_key="unused",
        default_headers=server.get("headers") or {},
        max_retries=0,
    )
    completion = client.chat.completions.create(
        model=server["model_name"], messages=[{"role": "user", "content": prompt}]
    )
    return completion.choices[0].message.content


def talk_to_first(servers: list[dict[str, Any]], prompt: str) -> str:
    """Return what the first server says that can be reached; ends the program when none can."""
    for number, server in enumerate(servers, start=1):
        try:
            return talk(server, prompt)
        except LOST as error:  # Nothing was printed yet, so the next one can begin anew.
            left = len(servers) - number
            sys.stderr.write(f"{server['base_url']} cannot be reached, candidates left: {left}. {error}\n")
        except (ResponseError, OpenAIError, httpx.HTTPError) as error:
            sys.exit(f"{server['base_url']} refuses: {error}")  # It was reached, so this is its answer.
    sys.exit("No server that the fleet named can be reached. Ask the fleet again in a moment.")


def main() -> None:
    parser = argparse.ArgumentParser(description="Asks ollama-fleet which servers to take, and talks to the first.")
    parser.add_argument("fleet", help="the fleet's API, such as http://127.0.0.1:8420")
    parser.add_argument("model")
    parser.add_argument("prompt")
    parser.add_argument("server_url", nargs="?", help="this server and no other, registered or not")
    given = parser.parse_args()
    question = {"model": given.model} | ({"server_url": given.server_url} if given.server_url else {})
    try:
        answer = resolve(given.fleet, candidates=CANDIDATES, **question)
        servers = [answer, *answer["candidates"]]
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"{given.fleet} does not answer as a fleet's API does: {getattr(error, 'reason', error)}")
    print(talk_to_first(servers, given.prompt))  # noqa: T201  # The lines are its output.


if __name__ == "__main__":
    main()
