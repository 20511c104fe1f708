"""Named counters, as ``netledger._core`` has them. A stub only: there is no module of this name."""

from typing import TypeAlias, final

_NfacctObject: TypeAlias = tuple[bytes, int, int, int, int, int | None]
"""Name, packets, bytes, references, flags and quota of a named counter, as the kernel tells them."""

def nfacct_list(mask: int, value: int) -> list[_NfacctObject]:
    """The named counters of this network namespace whose flags, cut to ``mask``, are ``value``.

    Raises:
        UnsteadyError, PermissionDeniedError, NotSupportedError, SourceError.
    """

def nfacct_get(name: bytes, zero: bool) -> _NfacctObject:
    """One named counter; with ``zero`` its packets, bytes and overquota flag are 0 from the same moment on.

    Raises:
        ObjectNotFoundError, PermissionDeniedError, NotSupportedError, SourceError.
    """

def nfacct_add(name: bytes, packets: int, octets: int, flags: int, quota: int | None) -> None:
    """Makes a named counter; ``flags`` say what ``quota`` counts, and go with it.

    Raises:
        ObjectExistsError, PermissionDeniedError, NotSupportedError, SourceError.
    """

def nfacct_delete(name: bytes) -> None:
    """Deletes a named counter.

    Raises:
        ObjectNotFoundError, ObjectBusyError, PermissionDeniedError, NotSupportedError, SourceError.
    """

def nfacct_flush() -> None:
    """Deletes all named counters that no rule uses.

    Raises:
        PermissionDeniedError, NotSupportedError, SourceError.
    """

@final
class NfacctEvents:
    """The kernel's messages about quotas that are reached, of the network namespace where it was made.

    Safe to share between threads.

    Raises:
        PermissionDeniedError, NotSupportedError, SourceError.
    """

    def __new__(cls, receive_buffer_bytes: int) -> NfacctEvents: ...
    def wait(self, timeout_milliseconds: int | None) -> tuple[_NfacctObject | None, int | None, bool]:
        """A counter at its quota, or how many events were lost, or whether it is closed; else the time is over.

        The GIL is released. Signals are handled.
        """

    def close(self) -> None:
        """Ends the waiting, also in other threads. May be called twice."""

    def fileno(self) -> int: ...

_NftCounter: TypeAlias = tuple[int, bytes, bytes, int, int, int, int]
"""Family (``NFPROTO_...``), table, name, handle, references, packets and bytes of a counter of nftables."""

def nft_counters_of_table(family: int, table: bytes) -> list[_NftCounter]:
    """The named counters of one table; none where there is no such table.

    Raises:
        UnsteadyError, PermissionDeniedError, NotSupportedError, SourceError.
    """

def nft_counters_all() -> tuple[list[tuple[int, bytes, int]], list[_NftCounter]]:
    """All tables as family, name and handle, and all named counters; both of one moment of the ruleset.

    Raises:
        UnsteadyError, PermissionDeniedError, NotSupportedError, SourceError.
    """

def nft_quotas() -> tuple[list[tuple[int, bytes, int]], list[tuple[int, bytes, bytes, int, int, int, int, bool]]]:
    """All tables as family, name and handle, and all quota objects; both of one moment of the ruleset.

    Of a quota: family, table, name, handle, references, limit, what is used of it, and whether it is ``over``. What is
    used is never told to be more than the limit, whatever has passed.

    Raises:
        UnsteadyError, PermissionDeniedError, NotSupportedError, SourceError.
    """
