"""Adding and removing quotas, by hand: the ledger first, then the kernel. The daemon sees it and needs no restart."""

from dataclasses import dataclass
from typing import final

from netledger.errors import ObjectBusyError, QuotaError, RulesetError
from netledger.intervals import Clock
from netledger.quotas.book import Book, the
from netledger.quotas.definition import Definition, Kind
from netledger.quotas.objects import Objects, Seen
from netledger.quotas.state import Reading, What, counted, period_told
from netledger.receipt import ZERO, Count


@final
@dataclass(frozen=True, slots=True)
class Removed:
    """What became of a quota that was taken out.

    Attributes:
        used: in its period.
        is_object_left: the kernel's object is there still, for rules use it.
    """

    used: Count
    is_object_left: bool


def agree(book: Book, objects: Objects, clock: Clock, one: Definition) -> Count:
    """Adds a quota and makes its object; an object that is there with the same limit is taken as it is.

    Gives what is used already. Needs CAP_NET_ADMIN.

    Raises:
        QuotaError: there is a quota of this name, or another object has its name.
        NetledgerError: the kernel or the ledger refuses. Where only the kernel did, the daemon makes the object.
    """
    book.refresh()
    if one.name in book.states:
        raise QuotaError(
            f"quota {one.name}",
            "add",
            "there is one of this name",
            f"another name; to begin it anew: netledger quota reset {one.name}; for another limit: take its rules out "
            f"(netledger quota rule {one.name} --remove), netledger quota remove {one.name}, then add",
        )
    seen = objects.seen(one)
    if seen is not None:
        _require_same(one, seen)
    now_ns = clock.now().wall_ns
    told = {"definition": one.told(), "base": counted(ZERO), **period_told(one.period(now_ns))}
    state = book.write(one.name, What.ADDED, told)
    if seen is None:
        objects.make(one, ZERO)
        return ZERO
    used = state.used(seen.count)
    book.note({one.name: Reading(seen.count, now_ns, seen.identity, state.added.id)})
    return used


def take_out(book: Book, objects: Objects, name: str, *, keep_object: bool = False) -> Removed:
    """Removes a quota; its object too, unless rules use it or it is to be kept. Needs CAP_NET_ADMIN.

    Raises:
        QuotaError: there is none of this name.
        NetledgerError: the kernel or the ledger refuses.
    """
    state = the(book, name)
    seen = objects.seen(state.definition)
    used = state.last_used() if seen is None else state.used(seen.count)
    book.write_all(name, [(What.REMOVED, counted(used))])
    if keep_object or seen is None:
        return Removed(used, is_object_left=seen is not None)
    try:
        objects.delete(state.definition)
    except ObjectBusyError:
        return Removed(used, is_object_left=True)
    except RulesetError:
        # nft says in words only that rules use it.
        return Removed(used, is_object_left=objects.seen(state.definition) is not None)
    return Removed(used, is_object_left=False)


def _require_same(one: Definition, seen: Seen) -> None:
    if one.kind is Kind.NFT or (seen.limit, seen.unit) == (one.limit, one.unit):
        return
    what = "no limit" if seen.limit is None else f"a limit of {seen.limit} {seen.unit}"
    if seen.is_used:
        # Most often of a quota that was removed while its rules were there: those name it, and so they go on.
        hint = f"rules use it: take them out, then nfacct delete {one.name}, then add; or another name"
    else:
        hint = f"nfacct delete {one.name}, then add; or another name"
    raise QuotaError(f"quota {one.name}", "add", f"the kernel has an nfacct object of this name, with {what}", hint)
