"""Counters that are made again, by meters, by a keeper and by strangers: nothing is ever booked twice, by any meter."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from netledger.receipt import Count
from netledger.schema import Kind
from netledger.sources.tally import Identity, Made, Sight, Tally

NAMES = ("a", "b", "c")
ENSURED = "a"
KEPT = "b"
FREE = "c"
SIZE = 100

COUNTING = st.tuples(st.just("count"), st.sampled_from(NAMES), st.integers(min_value=1, max_value=50))
DELETING = st.tuples(st.just("delete"), st.sampled_from(NAMES), st.just(0))
# Only of those that nobody else makes: else it may be less than was read, which is booked as if it were new.
PUTTING_BACK = st.tuples(st.just("put back"), st.just(FREE), st.just(0))
LOOKING = st.tuples(st.sampled_from(["look one", "look two", "cut one", "cut two", "keep"]), st.just(""), st.just(0))
# Long enough that something is deleted, comes again and is looked at on both sides of it.
STEPS = st.lists(st.one_of(COUNTING, DELETING, PUTTING_BACK, LOOKING), min_size=30, max_size=60)


@dataclass
class Kernel:
    """Objects in the order in which they were made; what each has counted, ever; and what the makers have noted."""

    now_ns: int = 0
    objects: dict[str, int] = field(default_factory=lambda: dict.fromkeys(NAMES, 0))
    truth: dict[str, int] = field(default_factory=lambda: dict.fromkeys(NAMES, 0))
    deleted: dict[str, int] = field(default_factory=dict)
    made: dict[Identity, Made] = field(default_factory=dict)

    def sights(self) -> dict[Identity, Sight]:
        return {(Kind.NFACCT, name): Sight(packets, packets * SIZE) for name, packets in self.objects.items()}

    def make(self, name: str, packets: int, had: int, had_ns: int) -> int:
        count = Count(had, had * SIZE)
        self.objects[name] = packets
        self.made[Kind.NFACCT, name] = Made(self.now_ns, packets, packets * SIZE, count, had_ns, is_sure=True)
        return self.now_ns


class Meter:
    """A tally that goes from interval to interval, and makes one of its objects when it is not there."""

    def __init__(self, kernel: Kernel, ensured: str | None) -> None:
        self._kernel = kernel
        self._ensured = ensured
        self._tally = Tally.begun(kernel.sights(), 0)
        self._closed: list[Tally] = []

    def look(self) -> None:
        kernel, name = self._kernel, self._ensured
        self._tally.look(kernel.sights(), kernel.now_ns, kernel.made)
        if name is not None and name not in kernel.objects:
            had = self._tally.had((Kind.NFACCT, name))
            assert had is not None
            number = kernel.make(name, had.packets, had.packets, kernel.now_ns)
            self._tally.made_again((Kind.NFACCT, name), had, number)

    def cut(self) -> None:
        self.look()
        self._closed.append(self._tally)
        self._tally = self._tally.next()

    def booked(self, name: str) -> int:
        found = (one.entries.get((Kind.NFACCT, name)) for one in (*self._closed, self._tally))
        return sum(entry.packets for entry in found if entry is not None)

    @property
    def is_exact(self) -> bool:
        return all(one.interrupted() is None for one in self._closed)


class Keeper:
    """Looks at one object, and makes it again with what it had when it was seen last."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._read = (0, 0)

    def look(self) -> None:
        kernel = self._kernel
        if KEPT in kernel.objects:
            self._read = (kernel.objects[KEPT], kernel.now_ns)
        else:
            kernel.make(KEPT, self._read[0], *self._read)


@given(steps=STEPS)
def test_nothing_is_booked_twice_and_what_is_called_exact_is_all(steps: list[tuple[str, str, int]]) -> None:
    kernel = Kernel()
    one, two, keeper = Meter(kernel, ENSURED), Meter(kernel, None), Keeper(kernel)
    does = {"look one": one.look, "look two": two.look, "cut one": one.cut, "cut two": two.cut, "keep": keeper.look}
    for what, name, packets in steps:
        kernel.now_ns += 1
        match what:
            case "count" if name in kernel.objects:
                kernel.objects[name] += packets
                kernel.truth[name] += packets
            case "delete" if name in kernel.objects:
                kernel.deleted[name] = kernel.objects.pop(name)
            case "put back" if name in kernel.deleted:
                kernel.objects.setdefault(name, kernel.deleted.pop(name))
            case _ if what in does:
                does[what]()
            case _:
                pass  # of what is not there
    for meter in (one, two):
        kernel.now_ns += 1
        meter.cut()
    for meter in (one, two):
        for name in NAMES:
            assert meter.booked(name) <= kernel.truth[name], name
        if meter.is_exact:
            # Of all that was deleted nothing has escaped it.
            assert {name: meter.booked(name) for name in NAMES} == kernel.truth
