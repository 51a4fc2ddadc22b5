"""A TLS handshake that proves who is there and leaves the bare TCP connection behind.

What TLS keeps for a connection takes some 50 kB. One on which nothing will ever be said needs none of it.
"""

import asyncio
import socket
import ssl

PIECE = 16 * 1024


async def prove(connection: socket.socket, *, tls: ssl.SSLContext, host: str) -> None:
    """Go through the handshake as any client would, with the context's own rules about certificates.

    Afterwards nothing can be sent or understood on the connection; what still comes in is ciphertext. Raises
    `ssl.SSLError` when the server is not trusted or does not speak TLS, `OSError` when the connection ends.
    """
    loop = asyncio.get_running_loop()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = tls.wrap_bio(incoming, outgoing, server_hostname=host)
    while True:
        done = _advance(session)
        if outgoing.pending:
            await loop.sock_sendall(connection, outgoing.read())
        if done:
            return
        received = await loop.sock_recv(connection, PIECE)
        if not received:
            raise ConnectionAbortedError("the connection ended in the middle of the TLS handshake")
        incoming.write(received)


def _advance(session: ssl.SSLObject) -> bool:
    """Return whether the handshake is done; False when it waits for the other side."""
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True
