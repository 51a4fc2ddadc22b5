"""Routes of models: from HTTP to the registry and back."""

from aiohttp import web

from api.fleet.registry import Registry
from api.fleet.schemas import ModelPatch
from api.fleet.views import ModelPage, ModelView
from api.web.gate import access
from api.web.handlers.servers import SERVERS, server_id
from api.web.http import bodies, parameters, responses
from api.web.http.parameters import ModelListing, NoParameters
from api.web.openapi.operation import Operation


class ModelHandler:
    """Models over HTTP."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def operations(self) -> list[Operation]:
        """Return what is answered here. A model name may hold `/` and `:`, plain or percent-encoded."""
        models = SERVERS + "/{server_id}/models"
        return [
            Operation(
                tag="models",
                method="GET",
                path=models,
                handler=self.list,
                summary="List the models of a server",
                parameters=ModelListing,
                answer=ModelPage,
                problems=("server_not_found",),
            ),
            Operation(
                tag="models",
                method="PATCH",
                path=models + "/{model_name:.+}",
                handler=self.patch,
                summary="Note what the operator says of a model: its name, its capabilities, or that it is off",
                body=ModelPatch,
                body_types=(bodies.MERGE_PATCH, bodies.JSON),
                body_example={"is_active": False},
                answer=ModelView,
                problems=("server_not_found", "model_not_found"),
            ),
        ]

    async def list(self, request: web.Request) -> web.Response:
        """`GET /api/servers/{id}/models`."""
        listing = parameters.read(request.query, ModelListing)
        page = await self._registry.list_models(server_id(request), include_removed=listing.include_removed)
        return responses.document(page)

    async def patch(self, request: web.Request) -> web.Response:
        """`PATCH /api/servers/{id}/models/{model_name}`."""
        parameters.read(request.query, NoParameters)
        patch = await bodies.read(request, ModelPatch, media_types=(bodies.MERGE_PATCH, bodies.JSON))
        model_name = request.match_info["model_name"]
        registry = self._registry.acting_as(access.of(request).actor)
        return responses.document(await registry.patch_model(server_id(request), model_name, patch))
