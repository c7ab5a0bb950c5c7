"""Addresses for `up --bind`: what is read, what counts as this machine, what is refused."""

from __future__ import annotations

import socket

import pytest
from django.core.management import CommandError

from scheduler.listening import Address, listen, refuse_if_open


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8000", Address("127.0.0.1", 8000)),
        ("localhost:80", Address("localhost", 80)),
        ("0.0.0.0:8000", Address("0.0.0.0", 8000)),
        ("[::1]:9000", Address("::1", 9000)),
        ("9000", Address("127.0.0.1", 9000)),
    ],
)
def test_addresses_are_read(text: str, address: Address) -> None:
    assert Address.parse(text) == address


@pytest.mark.parametrize("text", ["", ":8000", "host:", "host:http", "host:0", "host:65536", "host:²"])
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(CommandError, match=r"HOST:PORT, for example 127\.0\.0\.1:8000"):
        Address.parse(text)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("example.org", False),
    ],
)
def test_only_loopback_is_this_machine(host: str, expected: bool) -> None:
    assert Address(host, 1).is_loopback is expected


def test_addresses_of_ipv6_are_bracketed_in_links() -> None:
    assert Address("::1", 8000).url == "http://[::1]:8000/"


def test_a_wildcard_is_reached_by_loopback() -> None:
    assert Address("0.0.0.0", 8000).to_reach_it == ("127.0.0.1", 8000)


def test_a_free_port_is_taken_and_a_taken_one_names_the_next() -> None:
    with listen(Address("127.0.0.1", _free())) as first:
        port = first.getsockname()[1]

        with pytest.raises(CommandError, match=rf"Port {port} is in use.*--bind 127\.0\.0\.1:{port + 1}"):
            listen(Address("127.0.0.1", port))


def test_an_unknown_host_is_named() -> None:
    with pytest.raises(CommandError, match=r'"no\.such\.invalid" is not known here'):
        listen(Address("no.such.invalid", 8000))


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(CommandError, match="is not possible"):
        listen(Address("192.0.2.1", _free()))


def test_loopback_needs_nothing() -> None:
    refuse_if_open(Address("127.0.0.1", 1), own_password=False, debug=True, named_hosts=False)


def test_an_open_address_needs_names_a_password_and_no_debug() -> None:
    refuse_if_open(Address("0.0.0.0", 1), own_password=True, debug=False, named_hosts=True)

    with pytest.raises(CommandError) as refused:
        refuse_if_open(Address("0.0.0.0", 1), own_password=False, debug=True, named_hosts=False)

    assert str(refused.value).count("\n  - ") == 3


def _free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
