"""Tokens of the API: good ones that are used, bad ones that are tried, and good ones where none belongs."""

import asyncio
import secrets
from urllib.parse import quote
from uuid import uuid4

from api.fleet.access import tokens
from tests.acceptance.canaries import Canaries
from tests.acceptance.scene import Scene, Witness

PARAMETERS = ("token", "access_token", "Api-Key")


class TokenDrama:
    """Watches for every token that it makes."""

    def __init__(self, scene: Scene, canaries: Canaries) -> None:
        self._scene = scene
        self._canaries = canaries

    async def make(self, name: str, *scopes: str) -> str:
        """Have the command make a token."""
        words = [word for scope in scopes for word in ("--scope", scope)]
        return self._watched(name, await self._scene.secret_of("token", "create", name, *words))

    async def misuse(self, api: Witness, good: str) -> None:
        """Send what is no token, one that nobody has made, one with a wrong secret; and a good one in the address."""
        public = good.removesuffix(_secret(good))
        wrong = (
            self._canaries.plant("no token at all"),
            self._watched("a token that was never made", tokens.make(uuid4())),
            self._watched("a token with a wrong secret", public + secrets.token_urlsafe(tokens.SECRET_BYTES)),
        )
        for token in wrong:
            assert (await api.ask("GET", "/api/servers", token=token))[0] == 401
        written = quote(good, safe="")
        for name in PARAMETERS:
            for path in ("/", "/metrics", "/api/servers"):
                assert (await api.ask("GET", f"{path}?{name}={written}"))[0] == 400
        assert (await api.ask("GET", f"/api/servers?misspelt={written}"))[0] == 422

    async def work_elsewhere(self, api: Witness, good: str) -> None:
        """Run commands on the fleet behind the API, with a good token, with a wrong one, and with what is none."""
        wrong = self._canaries.plant("a wrong token of a command")
        attempts = [("doctor", good), ("events", wrong), ("events", f"{good} and more")]
        codes = await asyncio.gather(*(self._on_api(api, command, token=token) for command, token in attempts))
        assert 0 not in codes[1:]

    async def _on_api(self, api: Witness, command: str, *, token: str) -> int | None:
        settings = {"OLLAMA_FLEET_API_URL": api.base_url, "OLLAMA_FLEET_API_TOKEN": token}
        return await self._scene.run(command, **settings)

    def _watched(self, name: str, token: str) -> str:
        self._canaries.watch(f"the API token {name}", _secret(token).encode())
        return token


def _secret(token: str) -> str:
    """Return what nobody may see; the id before it may be seen."""
    return token.split("_", 2)[2]
