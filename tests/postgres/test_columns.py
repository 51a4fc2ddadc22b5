"""The roles of columns: what follows from them in events and REST, and that none can be forgotten."""

import re

import pytest

from api.fleet.schemas import ServerCreate, ServerPatch
from api.fleet.views import ModelView, ServerView
from migrations import sql
from monitor.domain import folding
from monitor.postgres.columns import Column, FactTable, Role, internal, operator, secret
from monitor.postgres.database import Connection
from monitor.postgres.tables import ollama_models, ollama_servers
from tests.postgres import history
from tests.postgres.conftest import AddServer

AUTH = {"auth_type", "auth_config"}
# Of what is a secret, or long, an event tells whether there is one.
TOLD_AS = {
    "auth_config": "auth_configured",
    "ca_pem": "ca_configured",
    "client_cert": "client_cert_configured",
    "client_key": "client_cert_configured",
}


@pytest.fixture
async def connection(undone: Connection) -> Connection:
    """All of these tests take back what they did."""
    return undone


def test_a_column_without_a_role_is_refused() -> None:
    with pytest.raises(ValueError, match=r"things\.forgotten has no role"):
        FactTable("things", [operator("name", "text"), Column("forgotten", "text")])


@pytest.mark.parametrize("role", [Role.SECRET, Role.INTERNAL])
def test_a_hidden_column_that_events_would_tell_is_refused(role: Role) -> None:
    with pytest.raises(ValueError, match=f"things.hidden is {role}, so events must not tell it"):
        FactTable("things", [Column("hidden", "text", role=role, told=True)])


def test_a_hidden_column_is_in_no_list_of_what_others_see() -> None:
    table = FactTable("things", [operator("name", "text"), secret("token", "text"), internal("note", "text")])

    assert table.told == table.shown == ("name",)
    assert table.readable == ("name", "note")
    assert table.edited == ("name", "token")


async def test_events_do_not_tell_a_column_that_nobody_has_stated(
    connection: Connection, add_server: AddServer
) -> None:
    await connection.execute("ALTER TABLE ollama_servers ADD COLUMN token text DEFAULT 'planted-secret'")
    await connection.execute("ALTER TABLE ollama_models ADD COLUMN token text DEFAULT 'planted-secret'")
    server_id = await add_server()
    await connection.execute("INSERT INTO ollama_models (server_id, name, model_name) VALUES ($1, 'm', 'm')", server_id)
    await connection.execute("UPDATE ollama_servers SET token = 'planted-too', priority = 7")

    told = await history.told(connection, 0)

    assert [kind for kind, _ in told] == ["server.created", "model.added", "server.updated"]
    assert "planted" not in str(told)


async def test_the_first_event_of_a_row_tells_all_columns_that_events_may_tell(
    connection: Connection, add_server: AddServer
) -> None:
    server_id = await add_server()
    await connection.execute("INSERT INTO ollama_models (server_id, name, model_name) VALUES ($1, 'm', 'm')", server_id)

    (_, server), (_, model) = await history.told(connection, 0)

    assert server.keys() - {"actor"} == set(ollama_servers.told)
    assert model.keys() - {"actor"} == set(ollama_models.told)


def test_rest_takes_what_an_operator_edits() -> None:
    editable = set(ollama_servers.edited) - AUTH | {"auth"}

    assert ServerCreate.model_fields.keys() == editable
    assert ServerPatch.model_fields.keys() == editable


def test_rest_shows_every_column_that_is_not_hidden() -> None:
    made = {"auth", "api", "api_pinned", "stale", "cause", "advice"}
    server = set(ollama_servers.shown) - {"auth_type", "api_seen"} | made

    assert ServerView.model_fields.keys() == server
    assert ModelView.model_fields.keys() == {*ollama_models.shown, "server_name"}


def test_the_fleet_in_memory_follows_what_events_tell_and_forgets_what_the_triggers_forget() -> None:
    assert set(folding.SERVER_COLUMNS) <= set(ollama_servers.told)
    assert set(folding.MODEL_COLUMNS) <= set(ollama_models.told)
    told = {column: TOLD_AS.get(column, column) for column in ollama_servers.address}
    assert set(folding.FORGETTING) == set(told.values())


@pytest.mark.parametrize("topic", sorted(sql.topics()))
def test_every_list_in_the_files_of_functions_is_filled_in(topic: str) -> None:
    assert not [found for found in map(re.compile(r"\{\w+\.\w+").search, sql.statements(topic)) if found]
