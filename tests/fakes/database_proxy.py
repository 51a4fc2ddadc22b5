"""A proxy between a program under test and PostgreSQL, and the address of a database by way of it."""

from monitor.embedded.postgres import EmbeddedServer
from tests.fakes.tcp_proxy import TcpProxy


def between(postgres: EmbeddedServer) -> TcpProxy:
    """Return a proxy that stands before the server, to be entered."""
    return TcpProxy(postgres.socket_dir / ".s.PGSQL.5432")


def through(proxy: TcpProxy, dsn: str) -> str:
    """Return the address of the same database, by way of the proxy."""
    name = dsn.partition("@/")[2].partition("?")[0]
    return f"postgresql://fleet@127.0.0.1:{proxy.port}/{name}"
