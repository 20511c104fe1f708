"""Word from the kernel that some nft object or rule has changed, or that an nft quota has run out.

What it was is not read here: the kernel tells a quota that ran out with no more than its limit, so the object itself
has to be asked anyway (:mod:`netledger.sources.nft`).
"""

import errno
import os
import socket
from typing import Final, final

from netledger.errors import SourceError

_NETLINK_NETFILTER: Final = 12
_NFNLGRP_NFTABLES: Final = 7
_PIECE_BYTES: Final = 1 << 16
_PIECES_MAX: Final = 10_000


@final
class NftChanges:
    """Listens from :meth:`open` on, in the network namespace of the calling thread. Needs CAP_NET_ADMIN."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Begins to listen.

        Raises:
            SourceError: the kernel refuses.
        """
        channel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER)
        try:
            channel.setblocking(False)  # noqa: FBT003  # it has no other form
            channel.bind((0, 1 << (_NFNLGRP_NFTABLES - 1)))
        except OSError as error:
            channel.close()
            raise SourceError("nft changes", "listen", os.strerror(error.errno or errno.EIO).lower()) from error
        self._socket = channel

    def fileno(self) -> int:
        """For ``poll``: it can be read when something has changed."""
        if self._socket is None:
            message = "it is not open"
            raise RuntimeError(message)
        return self._socket.fileno()

    def take(self) -> bool:
        """Takes all that was said, and says whether there was anything. Does not block.

        Raises:
            SourceError: the kernel refuses.
        """
        if self._socket is None:
            return False
        is_changed = False
        # Bounded: a program that changes rules without end must not keep anybody here.
        for _ in range(_PIECES_MAX):
            try:
                self._socket.recv(_PIECE_BYTES)
            except BlockingIOError:
                return is_changed
            except OSError as error:
                # Something was said, and there was no room for it: that is word enough.
                if error.errno != errno.ENOBUFS:
                    raise SourceError("nft changes", "receive", (error.strerror or str(error)).lower()) from error
            is_changed = True
        return is_changed

    def close(self) -> None:
        """Ends it. May be called twice."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
