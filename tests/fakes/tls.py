"""Certificates that tests make, and the contexts of servers that present them or want one."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import trustme

from monitor.credentials import certificates
from monitor.domain.credential import ClientKey


def pem_of(authority: trustme.CA) -> str:
    """Return an authority as `ca_pem` takes it."""
    return authority.cert_pem.bytes().decode()


def chain_of(certificate: trustme.LeafCert) -> str:
    """Return a certificate and what it was signed with, as `client_cert` takes it."""
    return "".join(each.bytes().decode() for each in certificate.cert_chain_pems)


def key_of(certificate: trustme.LeafCert) -> ClientKey:
    """Return the key of a certificate."""
    return certificates.read_key(certificate.private_key_pem.bytes().decode())


def serving(
    certificate: trustme.LeafCert,
    *,
    clients: trustme.CA | None = None,
    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
) -> ssl.SSLContext:
    """Return what a server goes by that presents a certificate, and wants one that `clients` has signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    certificate.configure_cert(context)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        clients.configure_trust(context)
    return context


@asynccontextmanager
async def telling(context: ssl.SSLContext, *, lingers: bool = True) -> AsyncIterator[int]:
    """Lend the port of a server that says by an alert what it has against a client, which asyncio's own does not.

    One that does not linger hangs up with the client's request unread, so that its kernel resets the connection.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = context.wrap_bio(incoming, outgoing, server_side=True)
        is_going_on = True
        while is_going_on:
            try:
                session.do_handshake()
                is_going_on = False
            except ssl.SSLWantReadError:
                writer.write(outgoing.read())
                received = await reader.read(65_536)
                incoming.write(received)
                is_going_on = received != b""
            except ssl.SSLError:
                is_going_on = False
        writer.write(outgoing.read())
        with suppress(ConnectionError):
            if lingers:
                await reader.read()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        yield listening.sockets[0].getsockname()[1]
