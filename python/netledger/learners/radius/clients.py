"""Who may tell: access servers by their network, each network with the secret that it shares with us."""

import ipaddress
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, final

from netledger.durable import cause_of, permission_hint
from netledger.errors import LearnerError

SECRET_BYTES_MAX: Final = 1024
EVERYWHERE: Final = "any"
"""What the client is called whose network is not given."""

_CACHE_MAX: Final = 4096


@final
@dataclass(frozen=True, slots=True)
class Client:
    """A network of access servers, and what it shares with us. The secret is in no text that is made of it."""

    network: str
    secret: bytes = field(repr=False)


def read_secret(path: Path) -> bytes:
    """The secret in a file: its first line, without the end of the line.

    Raises:
        LearnerError: it is not there, it is empty or too long, or others may read it.
    """
    about = f"secret file {path}"
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            text = file.read(SECRET_BYTES_MAX + 1) if stat.S_ISREG(found.st_mode) else b""
    except OSError as error:
        hint = permission_hint(path) if isinstance(error, PermissionError) else None
        raise LearnerError(about, "read", cause_of(error), hint) from error
    if not stat.S_ISREG(found.st_mode):
        raise LearnerError(about, "read", "this is no file")
    if found.st_mode & stat.S_IRWXO:
        mode = stat.S_IMODE(found.st_mode)
        raise LearnerError(about, "read", f"everybody may use it (mode {mode:04o})", f"chmod 0640 {path}")
    secret = text.partition(b"\n")[0].removesuffix(b"\r")
    if not secret:
        raise LearnerError(about, "read", "its first line is empty", "the secret is its first line")
    if len(secret) > SECRET_BYTES_MAX:
        raise LearnerError(about, "read", f"the secret is longer than {SECRET_BYTES_MAX} bytes")
    return secret


@final
class Clients:
    """Finds the client that an address belongs to: the one with the longest network. Not safe for concurrent use.

    Args:
        files: networks and the files with their secrets; the network None is everybody else.
    """

    def __init__(self, files: Sequence[tuple[str | None, Path]]) -> None:
        self._files = tuple(files)
        self._networks: list[tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, Client]] = []
        self._others: Client | None = None
        self._found: dict[str, Client | None] = {}

    def read(self) -> None:
        """Reads all secrets anew: a file may have been changed.

        Raises:
            LearnerError: one of them cannot be used; the old ones stay.
        """
        read = [(network, read_secret(path)) for network, path in self._files]
        self._others = next((Client(EVERYWHERE, secret) for network, secret in read if network is None), None)
        networks = [
            (ipaddress.ip_network(network), Client(network, secret)) for network, secret in read if network is not None
        ]
        self._networks = sorted(networks, key=lambda pair: -pair[0].prefixlen)
        self._found.clear()

    def find(self, address: str) -> Client | None:
        """The client of an address; None is a stranger."""
        if address not in self._found:
            if len(self._found) >= _CACHE_MAX:
                self._found.clear()
            where = ipaddress.ip_address(address.partition("%")[0])
            # An address of the other version is in no network of this one.
            known = (client for network, client in self._networks if where in network)
            self._found[address] = next(known, self._others)
        return self._found[address]
