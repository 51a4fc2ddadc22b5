"""What `ollama-fleet servers` and `models` ask of the registry, for the server that a person means."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from api.cli import listing
from api.cli.invocation import Invocation
from api.cli.reach import FleetRegistry
from api.cli.screen import repetition, wording
from api.fleet import refusals
from api.fleet.filters import ServerFilters
from api.fleet.refusals import Refused
from api.fleet.schemas import ModelPatch, ServerCreate, ServerPatch
from api.fleet.views import CheckAnswer, DiscoveryAnswer, EditedServer, ModelView, ServerView
from monitor.domain.errors import FleetError

Result = TypeVar("Result")
Shape = TypeVar("Shape", bound=BaseModel)


class ServerDesk:
    """Each method opens the database, does one thing, and closes it again; `reference` is what a person typed."""

    def __init__(self, invocation: Invocation) -> None:
        self._invocation = invocation

    def list(
        self, filters: Mapping[str, Any], show: Callable[[Sequence[ServerView]], None], *, every: float | None
    ) -> None:
        """Show the servers that fit, with `every` again and again."""
        wanted = _validated(ServerFilters, {name: value for name, value in filters.items() if value is not None})
        repetition.look(self._invocation, lambda reach: listing.all_servers(reach.registry, wanted), show, every=every)

    def found(self, reference: str) -> ServerView:
        """Return one server."""
        return self._invocation.on_registry(lambda registry: listing.one_server(registry, reference))

    def added(self, fields: Mapping[str, Any]) -> ServerView:
        """Add a server."""
        new = _validated(ServerCreate, fields)
        return self._invocation.on_registry(lambda registry: registry.create_server(new), makes=True)

    def changed(self, reference: str, fields: Mapping[str, Any]) -> tuple[ServerView, EditedServer]:
        """Change some fields of a server; returns what it was and what it is."""
        patch = _validated(ServerPatch, fields)

        async def change(registry: FleetRegistry, server: ServerView) -> tuple[ServerView, EditedServer]:
            return server, await registry.patch_server(server.id, patch)

        return self._on_server(reference, change)

    def removed(self, reference: str) -> ServerView:
        """Remove a server; returns what it was."""

        async def remove(registry: FleetRegistry, server: ServerView) -> ServerView:
            await registry.delete_server(server.id)
            return server

        return self._on_server(reference, remove)

    def checked(self, reference: str) -> CheckAnswer:
        """Have a server checked now."""

        async def check(registry: FleetRegistry, server: ServerView) -> CheckAnswer:
            return await registry.request_check(server.id)

        return self._on_server(reference, check, working="waiting for the monitor's check")

    def discovered(self, reference: str) -> DiscoveryAnswer:
        """Have the models of a server listed now."""

        async def discover(registry: FleetRegistry, server: ServerView) -> DiscoveryAnswer:
            return await registry.request_discovery(server.id)

        return self._on_server(reference, discover, working="waiting for the monitor's listing")

    def models(self, reference: str | None, *, removed_too: bool) -> Sequence[ModelView]:
        """Return the models of one server, or of all."""
        if reference is None:
            page = self._invocation.on_registry(lambda registry: registry.all_models(include_removed=removed_too))
            return page.items

        async def read(registry: FleetRegistry, server: ServerView) -> Sequence[ModelView]:
            return (await registry.list_models(server.id, include_removed=removed_too)).items

        return self._on_server(reference, read)

    def switched(self, reference: str, model_name: str, *, on: bool) -> ModelView:
        """Switch a model of a server on or off."""
        patch = ModelPatch(is_active=on)

        async def switch(registry: FleetRegistry, server: ServerView) -> ModelView:
            return await registry.patch_model(server.id, model_name, patch)

        return self._on_server(reference, switch)

    def _on_server(
        self,
        reference: str,
        action: Callable[[FleetRegistry, ServerView], Awaitable[Result]],
        *,
        working: str | None = None,
    ) -> Result:
        async def find_and_act(registry: FleetRegistry) -> Result:
            server = await listing.one_server(registry, reference)
            try:
                return await action(registry, server)
            except Refused as problem:
                raise FleetError(wording.of_server(problem, reference)) from problem

        return self._invocation.on_registry(find_and_act, working=working)


def _validated(shape: type[Shape], fields: Mapping[str, Any]) -> Shape:
    try:
        return shape.model_validate(dict(fields))
    except ValidationError as error:
        raise refusals.invalid(error) from error
