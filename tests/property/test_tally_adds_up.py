"""A tally of named counters: what is booked and what is unknown together are what was counted, whatever happens."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from netledger.receipt import Count
from netledger.schema import Change, Kind
from netledger.sources import tally_file
from netledger.sources.named import EVERY, name_of, text_of
from netledger.sources.tally import Sight, Tally

NAMES = ("a", "b", "c")
SIZES = st.integers(min_value=1, max_value=2**40)


@dataclass
class Kernel:
    """Objects in the order in which they were made, and what each has counted, ever."""

    objects: dict[str, tuple[int, int]] = field(default_factory=dict)
    truth: dict[str, int] = field(default_factory=dict)

    def count(self, name: str, packets: int) -> None:
        if name in self.objects:
            had = self.objects[name]
            self.objects[name] = (had[0] + packets, had[1] + 100 * packets)
            self.truth[name] = self.truth.get(name, 0) + packets

    def sights(self) -> dict[tuple[Kind, str], Sight]:
        return {(Kind.NFACCT, name): Sight(*had) for name, had in self.objects.items()}


COUNTING = st.tuples(st.just("count"), st.sampled_from(NAMES), SIZES)
LOOKING = st.sampled_from([("look", "", 0), ("cut", "", 0), ("die", "", 0)])
TOUCHING = st.tuples(st.sampled_from(["reset", "delete", "make"]), st.sampled_from(NAMES), st.just(0))


class Meter:
    """Looks, cuts, and dies now and then with nothing left but its file."""

    def __init__(self, kernel: Kernel, directory: Path) -> None:
        self.kernel = kernel
        self.file = directory / "tally"
        self.tally = Tally.begun(kernel.sights(), 0)
        self.closed: list[Tally] = []
        tally_file.save(self.tally, self.file, EVERY)

    def do(self, what: str) -> None:
        match what:
            case "look":
                if self.tally.look(self.kernel.sights(), 1):
                    tally_file.save(self.tally, self.file, EVERY)
            case "cut":
                self.tally.look(self.kernel.sights(), 1)
                self.closed.append(self.tally)
                self.tally = self.tally.next()
                tally_file.save(self.tally, self.file, EVERY)
            case _:
                self.tally, _ = tally_file.load(self.file)

    def booked(self, name: str) -> int:
        entries = [one.entries.get((Kind.NFACCT, name)) for one in (*self.closed, self.tally)]
        return sum(entry.packets for entry in entries if entry is not None)


@given(steps=st.lists(st.one_of(COUNTING, LOOKING), max_size=40))
def test_what_is_booked_is_what_was_counted_over_any_looks_cuts_and_deaths(steps: list[tuple[str, str, int]]) -> None:
    kernel = Kernel(dict.fromkeys(NAMES[:2], (7, 700)))
    with tempfile.TemporaryDirectory() as directory:
        meter = Meter(kernel, Path(directory))
        for what, name, packets in steps:
            if what == "count":
                kernel.count(name, packets)
            else:
                meter.do(what)
        meter.do("cut")
    assert {name: meter.booked(name) for name in NAMES} == {name: kernel.truth.get(name, 0) for name in NAMES}
    assert all(one.interrupted() is None for one in meter.closed)


@given(steps=st.lists(st.one_of(COUNTING, LOOKING, TOUCHING), max_size=40))
def test_what_somebody_touched_is_never_booked_twice_and_is_told_if_it_went_down(
    steps: list[tuple[str, str, int]],
) -> None:
    kernel = Kernel(dict.fromkeys(NAMES, (0, 0)))
    unsure: set[str] = set()
    with tempfile.TemporaryDirectory() as directory:
        meter = Meter(kernel, Path(directory))
        for what, name, packets in steps:
            match what:
                case "count":
                    kernel.count(name, packets)
                case "reset" if name in kernel.objects:
                    kernel.objects[name] = (0, 0)
                    unsure.add(name)
                case "delete":
                    unsure |= {name} & kernel.objects.keys()
                    kernel.objects.pop(name, None)
                case "make":
                    kernel.objects.setdefault(name, (0, 0))
                case "look" | "cut" | "die":
                    meter.do(what)
                case _:
                    pass  # a reset of what is not there
        meter.do("cut")
    for name in NAMES:
        # Lost in between may be some, invented must be none.
        assert meter.booked(name) <= kernel.truth.get(name, 0)
        if name not in unsure:
            assert meter.booked(name) == kernel.truth.get(name, 0)
    for one in meter.closed:
        touched = {entry.change for entry in one.entries.values()} & {Change.RESET, Change.REMADE, Change.GONE}
        assert bool(touched) == (one.interrupted() is not None)


def test_an_object_that_was_made_again_is_known_by_its_place_though_it_has_more_than_before() -> None:
    kernel = Kernel({"a": (5, 500), "b": (9, 900)})
    tally = Tally.begun(kernel.sights(), 0)
    kernel.objects.pop("a")
    kernel.objects["a"] = (50, 5_000)
    assert tally.look(kernel.sights(), 1)
    entry = tally.entries[Kind.NFACCT, "a"]
    assert (entry.change, entry.packets, entry.bytes) == (Change.REMADE, 45, 4_500)
    bounds = "between 45 packets (4500 bytes) and 50 packets (5000 bytes) of these are new, and the least is booked"
    assert bounds in (tally.interrupted() or "")
    assert tally.entries[Kind.NFACCT, "b"].change is Change.BASELINE


def test_a_counter_of_nftables_is_known_by_its_handle() -> None:
    web = (Kind.NFT, "inet filter web")
    tally = Tally.begun({web: Sight(5, 500, "1.1")}, 0)
    assert not tally.look({web: Sight(6, 600, "1.1")}, 1)
    assert tally.look({web: Sight(9, 900, "2.1")}, 2)
    entry = tally.entries[web]
    assert (entry.change, entry.packets) == (Change.REMADE, 1 + 3)
    assert "nft inet filter web: 6 packets (600 bytes) when read at 1970" in (tally.interrupted() or "")


def test_a_flag_of_a_quota_that_is_gone_tells_of_a_reset() -> None:
    guest = (Kind.NFACCT, "guest")
    tally = Tally.begun({guest: Sight(5, 500, quota=4, quota_unit="packets", over_quota=True)}, 0)
    assert tally.look({guest: Sight(6, 600, quota=4, quota_unit="packets", over_quota=False)}, 1)
    assert tally.entries[guest].change is Change.RESET
    assert tally.entries[guest].packets == 6


def test_what_was_made_at_boot_with_its_last_totals_is_booked_from_there() -> None:
    web = (Kind.NFACCT, "web")
    tally = Tally.begun({web: Sight(12, 1_200)}, 0, {web: Count(10, 1_000)})
    assert (tally.entries[web].packets, tally.entries[web].change) == (2, None)
    below = Tally.begun({web: Sight(3, 300)}, 0, {web: Count(10, 1_000)})
    assert (below.entries[web].packets, below.entries[web].change) == (0, Change.BASELINE)


def test_an_object_of_ours_goes_on_from_what_it_had() -> None:
    web, other = (Kind.NFACCT, "web"), (Kind.NFACCT, "other")
    tally = Tally.begun({web: Sight(0, 0), other: Sight(0, 0)}, 0)
    tally.look({web: Sight(7, 700), other: Sight(1, 100)}, 1)
    assert tally.look({other: Sight(1, 100)}, 2)
    tally.made_again(web, Sight(7, 700), 1)
    # Somebody's new object in front of it must not make it look like one that was made again.
    tally.look({other: Sight(1, 100), (Kind.NFACCT, "new"): Sight(0, 0), web: Sight(9, 900)}, 3)
    assert (tally.entries[web].packets, tally.entries[web].change) == (9, Change.REMADE)


def test_a_receipt_names_some_and_counts_the_others() -> None:
    many = {(Kind.NFACCT, f"o{number:02}"): Sight(1, 1) for number in range(20)}
    tally = Tally.begun(many, 0)
    tally.look({}, 1)
    said = tally.interrupted() or ""
    assert said.startswith("20 counters were deleted, and what they counted since they were read last is not known (")
    assert said.count("when read at") == 8
    assert said.endswith(", and 12 more)")


@given(name=st.binary(min_size=1, max_size=31))
def test_a_name_has_one_text_and_the_text_one_name(name: bytes) -> None:
    text = text_of(name)
    assert name_of(text) == name
    assert text.isprintable()
    assert text.encode()
