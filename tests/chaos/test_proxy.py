"""The proxy between the processes and their servers does what each mode says, and nothing else."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from benchmarks.chaos.proxy import Loop, Mode, Proxy

PATIENCE = 60


class Echo:
    """A server that sends back what it gets."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        with closing(client), suppress(OSError):
            while piece := client.recv(65_536):
                client.sendall(piece)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    echo, loop = Echo(), Loop()
    made = Proxy(loop, echo.port)
    yield made
    made.close()
    loop.close()
    echo.close()


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE)


def ask(client: socket.socket, text: bytes) -> bytes:
    client.sendall(text)
    return client.recv(len(text))


def test_it_passes_what_it_gets_in_both_directions(proxy):
    with connect(proxy) as client:
        assert ask(client, b"hello") == b"hello"


def test_an_end_is_passed_on(proxy):
    with connect(proxy) as client:
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""


def test_refusing_drops_what_is_open_and_lets_nobody_in(proxy):
    with connect(proxy) as client:
        assert ask(client, b"hello") == b"hello"
        proxy.set(Mode.REFUSE)
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)


def test_after_refusing_it_listens_on_the_same_port(proxy):
    port = proxy.port
    proxy.set(Mode.REFUSE)
    proxy.set(Mode.PASS)
    with connect(proxy) as client:
        assert ask(client, b"back") == b"back"
    assert proxy.port == port


def test_a_blackhole_accepts_and_answers_nothing_until_it_is_over(proxy):
    with connect(proxy) as open_before:
        assert ask(open_before, b"hello") == b"hello"
        proxy.set(Mode.BLACKHOLE)
        with connect(proxy) as new:
            for client in (open_before, new):
                client.sendall(b"lost?")
                client.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    client.recv(5)
            proxy.set(Mode.PASS)
            for client in (open_before, new):
                client.settimeout(PATIENCE)
                assert client.recv(5) == b"lost?"


def test_connections_of_a_blackhole_can_be_found_dead_afterwards(proxy):
    with connect(proxy) as client:
        assert ask(client, b"hello") == b"hello"
        proxy.set(Mode.BLACKHOLE)
        client.sendall(b"gone")
        assert proxy.reset() == 1
        with pytest.raises(ConnectionResetError):
            client.recv(4)


def test_a_delay_holds_each_piece_up_both_ways(proxy):
    proxy.set(Mode.DELAY, delay=0.1)
    with connect(proxy) as client:
        began = time.monotonic()
        assert ask(client, b"slow") == b"slow"
        assert time.monotonic() - began >= 0.2


def test_a_cut_resets_in_the_middle_of_a_message(proxy):
    proxy.set(Mode.CUT, cut_after=6)
    with connect(proxy) as client:
        client.sendall(b"abcdefghij")
        received = bytearray()
        with pytest.raises(ConnectionResetError):
            read_until_the_end(client, received)
    assert len(received) <= 6


def read_until_the_end(client: socket.socket, received: bytearray) -> None:
    while piece := client.recv(10):
        received += piece
