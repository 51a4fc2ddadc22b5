"""The resolver of an API elsewhere, which answers from its memory."""

from urllib.parse import quote

from api.cli.remote.connection import ApiConnection
from api.fleet.filters import Extra
from api.fleet.resolution.answers import Resolution, ResolutionView
from api.fleet.resolution.catalogue import CatalogueAnswer, CatalogueAnswerView, CataloguePage, CataloguePageView
from monitor.domain.selection import Request

RESOLVE, MODELS = "/api/resolve", "/api/models"


class RemoteResolver:
    """Implements `reach.FleetResolver` over HTTP."""

    def __init__(self, connection: ApiConnection) -> None:
        self._api = connection

    async def resolve(self, request: Request, *, session: str | None = None, with_headers: bool = False) -> Resolution:
        """Return the server for a request, and the headers that it wants."""
        body = request._asdict()
        body["label"] = [f"{key}={value}" for key, value in body.pop("labels")]
        body["capability"] = body.pop("capabilities")
        body |= {"session": session, "include": [Extra.CREDENTIALS] if with_headers else []}
        answer = await self._api.ask("POST", RESOLVE, body=body)
        return self._api.read(ResolutionView, answer).root

    async def models(self, *, limit: int, cursor: str | None) -> CataloguePage:
        """Return some models by name."""
        parameters = [("limit", str(limit)), *([("cursor", cursor)] if cursor else [])]
        return self._api.read(CataloguePageView, await self._api.ask("GET", MODELS, parameters=parameters)).root

    async def model(self, model_name: str) -> CatalogueAnswer:
        """Return one model with all its servers."""
        answer = await self._api.ask("GET", f"{MODELS}/{quote(model_name, safe='')}")
        return self._api.read(CatalogueAnswerView, answer).root
