"""The kernel's objects behind quotas: read by netlink; nfacct objects are changed by netlink too, nft's by nft."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, final

from netledger import nfacct
from netledger.errors import ObjectNotFoundError, QuotaError, RulesetError
from netledger.quotas.definition import LIMIT_MAX, Definition, Kind, Unit
from netledger.quotas.state import Reading, State
from netledger.receipt import ZERO, Count
from netledger.sources import nft_quotas
from netledger.sources.made import Register
from netledger.sources.named import text_of
from netledger.sources.nft import Json, Nft
from netledger.sources.nft_quotas import NftQuota

LATE_HINT: Final = (
    "take its rules out and put them in again: in between it is made anew, with what was used "
    "(netledger quota rule NAME --remove; netledger quota rule NAME); or let it begin anew: netledger quota reset NAME"
)

_UNITS: Final = {Unit.BYTES: nfacct.Unit.BYTES, Unit.PACKETS: nfacct.Unit.PACKETS}


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An object, as it was when the kernel was asked.

    Attributes:
        count: what it has counted. Of an nft quota no packets, and never more bytes than its limit.
        limit: its own, or None where it has none.
        unit: of the limit.
        identity: another one for an object that was made anew; empty where the kernel gives none.
        is_used: whether a rule uses it.
    """

    count: Count
    limit: int | None
    unit: Unit
    identity: str = ""
    is_used: bool = False


@final
class Objects:
    """Looks at objects and changes them, in the network namespace of the calling thread; keeps nothing but one list.

    All need CAP_NET_ADMIN. Each call raises what :mod:`netledger.nfacct` and :class:`netledger.sources.nft.Nft` do.

    Args:
        nft: the program.
        register: where it is noted which nfacct objects are made, so that no meter books twice what they had.
    """

    def __init__(self, nft: Nft | None = None, register: Register | None = None) -> None:
        self._register = register or Register(None)
        self._nft = nft or Nft()
        self._listed: Mapping[tuple[str, str, str], Seen] | None = None

    def look_anew(self) -> None:
        """Forgets the list of nft's quotas; the next question reads it again."""
        self._listed = None

    def seen(self, one: Definition) -> Seen | None:
        """The object of a quota; None where there is none."""
        if one.kind is Kind.NFT:
            if self._listed is None:
                found = nft_quotas.read()
                self._listed = {(quota.family, quota.table, quota.name): _of_nft(quota) for quota in found}
            return self._listed.get((one.family, one.table, one.name))
        try:
            return of_nfacct(nfacct.get(one.name))
        except ObjectNotFoundError:
            return None

    def make(self, one: Definition, used: Count, had: Reading | None = None) -> None:
        """Makes the object, with what was used. An nft table is made where there is none.

        ``had`` is the newest reading of the object before it.

        Raises:
            ObjectExistsError: of nfacct: it is there.
        """
        if one.kind is Kind.NFACCT:
            quota = nfacct.Quota(one.limit, _UNITS[one.unit])
            name = text_of(one.name.encode(errors="surrogateescape"))
            before = (None, 0) if had is None else (had.count, had.at_ns)
            with self._register.making(name, used, *before):
                nfacct.add(one.name, quota=quota, packets=used.packets, octets=used.bytes)
            return
        quota_object = _quota(one, limit=one.limit, used=used.bytes)
        try:
            # Alone first: to add a table that is there and has flags would take them away.
            self._apply([quota_object])
        except RulesetError:
            self._apply([{"add": {"table": {"family": one.family, "name": one.table}}}, quota_object])

    def delete(self, one: Definition) -> None:
        """Deletes the object. What is gone already is no error.

        Raises:
            ObjectBusyError: of nfacct: a rule uses it.
            RulesetError: of nft: a rule uses it, or nft refuses.
        """
        if one.kind is Kind.NFACCT:
            with suppress(ObjectNotFoundError):
                nfacct.delete(one.name)
            return
        self.look_anew()
        if self.seen(one) is not None:
            name: Json = {"family": one.family, "table": one.table, "name": one.name}
            self._apply([{"delete": {"quota": name}}])

    def take(self, one: Definition) -> Count:
        """Takes the count of an nfacct object and leaves 0: each packet is in what is taken, or still in the object.

        Raises:
            ObjectNotFoundError: it is gone.
        """
        taken = nfacct.reset(one.name)
        return Count(taken.packets, taken.bytes)

    def count_of_all(self, one: Definition) -> Count:
        """What an nft object has really counted, also beyond its limit; leaves it without one.

        To be followed by :meth:`set_limit`. Nothing is refused in between.

        Raises:
            QuotaError: the object is gone.
        """
        self.set_limit(one, LIMIT_MAX)
        seen = self.seen(one)
        if seen is None:
            raise QuotaError(f"quota {one.name}", "take the count", "its nft object was deleted meanwhile")
        return seen.count

    def set_limit(self, one: Definition, limit: int) -> None:
        """Gives an nft object another limit. What it has counted stays; its event can come again."""
        self._apply([_quota(one, limit=limit, used=0)])

    def _apply(self, commands: list[Json]) -> None:
        self.look_anew()
        self._nft.apply(commands)


def wanted_limit(state: State) -> int:
    """The limit that the kernel's object must have, so that it refuses from the agreed one on."""
    one = state.definition
    if one.kind is Kind.NFACCT:
        return one.limit
    # Its own count goes on for ever, and what earlier objects have counted is used as well.
    return min(LIMIT_MAX, state.base.bytes + max(0, one.limit - state.carried.bytes))


def late_cut(state: State, seen: Seen) -> str | None:
    """Why the kernel cuts a quota later than agreed; None where it cuts in time, or has cut by now.

    It compares an nfacct object's own count with the limit, and what earlier objects have counted is not in that.
    """
    one, own = state.definition, state.amount(seen.count)
    if one.kind is Kind.NFT or state.carried == ZERO or own >= one.limit:
        return None
    return f"its object was set back, and cuts only after {one.limit - own:,} {one.unit} more"


def of_nfacct(found: nfacct.Counter) -> Seen:
    """An nfacct object."""
    quota = found.quota
    return Seen(
        count=Count(found.packets, found.bytes),
        limit=None if quota is None else quota.limit,
        unit=Unit.PACKETS if quota is not None and quota.unit is nfacct.Unit.PACKETS else Unit.BYTES,
        is_used=found.references > 1,
    )


def _of_nft(found: NftQuota) -> Seen:
    return Seen(
        count=Count(0, found.used),
        limit=found.limit if found.is_over else None,
        unit=Unit.BYTES,
        identity=found.identity,
        is_used=found.references > 0,
    )


def _quota(one: Definition, *, limit: int, used: int) -> Json:
    # inv: "over", not "until".
    told: Json = {"family": one.family, "table": one.table, "name": one.name, "bytes": limit, "used": used, "inv": True}
    return {"add": {"quota": told}}
