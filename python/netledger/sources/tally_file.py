"""A tally in the runtime directory, so that another process can go on with it; and its rows.

The file of an open generation says which counters were wanted, what was seen of each and what is booked; it is replaced
as a whole. What is counted after it was written is in the kernel, and the next look finds it: to lose a process loses
nothing.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from netledger._core import Totals
from netledger.errors import TableError
from netledger.receipt import COUNT_MAX
from netledger.schema import NAMED_BATCH_COLUMNS, Change, Kind
from netledger.sources.lasting import replace_file
from netledger.sources.lost import no_totals
from netledger.sources.named import Choice
from netledger.sources.tally import Entry, Sight, Tally

if TYPE_CHECKING:
    import pyarrow as pa

_FORMAT: Final = 2


def save(tally: Tally, path: Path, choice: Choice) -> None:
    """Writes a tally of the counters that ``choice`` takes, replacing an older one at once.

    Raises:
        OSError: the runtime directory is full or gone.
    """
    entries = [
        [
            *identity,
            entry.packets,
            entry.bytes,
            entry.change,
            entry.is_there,
            entry.ours,
            entry.sight,
        ]
        for identity, entry in tally.entries.items()
    ]
    whole = {
        "format": _FORMAT,
        "choice": choice.wishes,
        "looked_ns": tally.looked_ns,
        "told": tally.told,
        "happened": tally.happened,
        "gone": [[*identity, sight] for identity, sight in tally.gone.items()],
        "made_seen": tally.made_seen,
        "entries": entries,
    }
    replace_file(path, json.dumps(whole, ensure_ascii=False, separators=(",", ":")), lasting=False)


def load(path: Path) -> tuple[Tally, Choice]:
    """Reads it, and of which counters it is.

    Raises:
        TableError: it is not there, is damaged, or of another version.
    """
    try:
        whole = json.loads(path.read_bytes())
        if whole["format"] != _FORMAT:
            raise TableError(str(path), "read", f"it has version {whole['format']}, and this program knows {_FORMAT}")
        objects, nft, ensure = (tuple(str(one) for one in wishes) for wishes in whole["choice"])
        tally = Tally(
            whole["looked_ns"],
            {
                (Kind(kind), name): Entry(
                    Sight(*sight), packets, octets, None if change is None else Change(change), is_there, ours
                )
                for kind, name, packets, octets, change, is_there, ours, sight in whole["entries"]
            },
            {Change(change): list(told) for change, told in whole["told"].items()},
            {Change(change): number for change, number in whole["happened"].items()},
            {(Kind(kind), name): Sight(*sight) for kind, name, sight in whole["gone"]},
            whole["made_seen"],
        )
        return tally, Choice(objects=objects, nft=nft, ensure=ensure)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TableError(str(path), "read", str(error).lower()) from error


class TallyRows:
    """The rows of a closed tally, and its file.

    Args:
        tally: frozen from now on.
        path: of its file.
        choice: of which counters it is.
        recovered: whether it was found after a crash.
    """

    def __init__(self, tally: Tally, path: Path, choice: Choice, *, recovered: bool) -> None:
        self.tally = tally
        self.choice = choice
        self.recovered = recovered
        self.last_received_ns: int | None = None
        self._path = path

    @property
    def rows(self) -> int:
        """How many."""
        return len(self.tally.entries)

    @property
    def totals(self) -> Totals:
        """Nothing: no packet comes here."""
        return no_totals()

    def batch(self, _interface_names: Mapping[int, str]) -> "pa.RecordBatch":
        """A row for each counter, as Arrow columns."""
        import pyarrow as pa

        name = pa.dictionary(pa.uint32(), pa.string())
        found = [(*identity, entry, entry.sight) for identity, entry in self.tally.entries.items()]
        columns = {
            "kind": pa.array([str(kind) for kind, *_ in found], pa.string()),
            "name": pa.array([text for _, text, *_ in found], pa.string()),
            "bytes": pa.array([min(COUNT_MAX, entry.bytes) for *_, entry, _ in found], pa.uint64()),
            "packets": pa.array([min(COUNT_MAX, entry.packets) for *_, entry, _ in found], pa.uint64()),
            "total_bytes": pa.array([sight.bytes for *_, sight in found], pa.uint64()),
            "total_packets": pa.array([sight.packets for *_, sight in found], pa.uint64()),
            "quota": pa.array([sight.quota for *_, sight in found], pa.uint64()),
            "quota_unit": pa.array([sight.quota_unit for *_, sight in found], pa.string()),
            "over_quota": pa.array([_flag(sight) for *_, sight in found], pa.uint8()),
            "change": pa.array([_word(entry) for *_, entry, _ in found], pa.string()),
        }
        names = [column.name for column in NAMED_BATCH_COLUMNS]
        texts = {one: columns[one].dictionary_encode().cast(name) for one in ("kind", "name", "quota_unit", "change")}
        return pa.record_batch([(columns | texts)[one] for one in names], names=names)

    def release(self) -> None:
        """Removes the file."""
        self._path.unlink(missing_ok=True)


def _flag(sight: Sight) -> int | None:
    return None if sight.over_quota is None else int(sight.over_quota)


def _word(entry: Entry) -> str | None:
    return None if entry.change is None else str(entry.change)
