"""Where `manage.py up` listens: the address, the socket, and when an address beyond loopback is refused."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from dataclasses import dataclass

from django.core.management import CommandError

DEFAULT = "127.0.0.1:8000"
LOCAL_NAMES = ("localhost", "ip6-localhost")


@dataclass(frozen=True)
class Address:
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """HOST:PORT, [IPV6]:PORT, or PORT alone, which means loopback. Raises CommandError."""
        host, colon, port = text.rpartition(":")
        if not colon:
            host, port = "127.0.0.1", text
        host = host.removeprefix("[").removesuffix("]")
        if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
            raise CommandError(
                f'--bind "{text}" is not an address. Its form is HOST:PORT, for example {DEFAULT}.'
            )
        return cls(host, int(port))

    @property
    def url(self) -> str:
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}/"

    @property
    def is_loopback(self) -> bool:
        if self.host in LOCAL_NAMES:
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def to_reach_it(self) -> tuple[str, int]:
        """What a program on this machine connects to: a wildcard address is reached by loopback."""
        wildcard = {"0.0.0.0": "127.0.0.1", "::": "::1"}
        return wildcard.get(self.host, self.host), self.port


def listen(address: Address) -> socket.socket:
    """The listening socket, taken before anything starts, so that a taken port is one clear error."""
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise CommandError(f'--bind: "{address.host}" is not known here ({error.strerror}).') from error
    listening = socket.socket(family, kind, protocol)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(where)
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise CommandError(_why_not(address, error)) from error
    return listening


def _why_not(address: Address, error: OSError) -> str:
    at = address.url.removeprefix("http://").rstrip("/")
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {address.port} is in use: another program listens on {at}, perhaps another Beatkeeper. "
            f"End it, or choose another port: --bind {address.host}:{address.port + 1}"
        )
    if error.errno == errno.EACCES:
        return (
            f"Listening on {at} is not allowed: ports below 1024 need root. Choose one above: "
            f"--bind {address.host}:8000"
        )
    return f"Listening on {at} is not possible: {os.strerror(error.errno or 0)}."


def refuse_if_open(address: Address, *, own_password: bool, debug: bool, named_hosts: bool) -> None:
    """Beyond loopback everybody on the network may try the login, so the defaults must be gone.

    Raises CommandError with all that is to be done.
    """
    if address.is_loopback:
        return
    steps = []
    if not named_hosts:
        steps.append("say by which names it is reached: BEATKEEPER_ALLOWED_HOSTS=beatkeeper.example.org")
    if not own_password:
        steps.append(
            "choose the password of admin: BEATKEEPER_ADMIN_PASSWORD before the first start, "
            "python3 manage.py changepassword admin after it"
        )
    if debug:
        steps.append("unset BEATKEEPER_DEBUG: its error pages show settings to everybody")
    if steps:
        lines = "".join(f"\n  - {step}" for step in steps)
        raise CommandError(f"{address.url} can be reached from other machines. First:{lines}")
