"""Sockets that servers of ours listen on."""

from __future__ import annotations

import socket

from runtime.errors import OperatorNeeded


def listen(host: str, port: int, setting: str) -> socket.socket:
    """Return a socket that listens there; port 0: any. OperatorNeeded where it cannot be had.

    `setting` is the name of the setting for the port.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        raise OperatorNeeded(
            f"{host}, port {port}, cannot be listened on ({error.strerror}).",
            advice=f"Is it running already? Another port is set by {setting}.",
        ) from error
    # asyncio does so for sockets of its own; without, each answer waits 40 ms for the other side's acknowledgement.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening
