"""Sockets that our servers listen on."""

from __future__ import annotations

import socket
from contextlib import closing

import pytest

from runtime.errors import OperatorNeeded
from runtime.listening import listen


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_what_is_answered_on_a_connection_leaves_at_once(host: str) -> None:
    with (
        closing(listen(host, 0, "WEB_PORT")) as listening,
        closing(socket.create_connection(listening.getsockname()[:2])),
    ):
        connection, _ = listening.accept()
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        connection.close()


def test_a_port_that_is_taken_is_told_with_its_setting() -> None:
    with closing(listen("127.0.0.1", 0, "WEB_PORT")) as taken:
        with pytest.raises(OperatorNeeded, match="cannot be listened on") as caught:
            listen("127.0.0.1", taken.getsockname()[1], "WEBHOOK_PORT")
        assert "WEBHOOK_PORT" in caught.value.words()


def test_a_host_that_nobody_knows_is_told() -> None:
    with pytest.raises(OperatorNeeded, match=r"no\.such\.host\.invalid"):
        listen("no.such.host.invalid", 0, "WEB_PORT")
