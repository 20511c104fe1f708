"""Flows are read for who looks, but not all the time."""

from collections.abc import Callable, Iterator
from itertools import chain, repeat

import pytest

from netledger.errors import SourceError, UnsteadyError
from netledger.sources.conntrack_fresh import Fresh


def clock(*readings: float) -> Callable[[], float]:
    times: Iterator[float] = chain(readings, repeat(readings[-1]))
    return lambda: next(times)


def test_a_second_look_reads_nothing_until_a_second_has_passed() -> None:
    read: list[str] = []
    fresh = Fresh(clock(10.0, 10.001, 10.9, 11.1, 11.1))
    for name in ("first", "at once", "later"):
        fresh.make(lambda name=name: read.append(name))  # type: ignore[misc]  # a default binds it
    assert read == ["first", "later"]


def test_what_takes_long_rests_a_hundred_times_as_long() -> None:
    read: list[str] = []
    fresh = Fresh(clock(10.0, 12.0, 211.9, 212.1, 214.0))
    for name in ("first", "early", "later"):
        fresh.make(lambda name=name: read.append(name))  # type: ignore[misc]  # a default binds it
    assert read == ["first", "later"]


@pytest.mark.parametrize("error", [UnsteadyError, SourceError])
def test_flows_that_cannot_be_listed_now_keep_nobody_from_looking(error: type[SourceError]) -> None:
    times = 0

    def fails() -> None:
        nonlocal times
        times += 1
        raise error("conntrack", "dump", "flows cannot be listed")

    fresh = Fresh(clock(10.0, 10.001, 10.2, 20.0, 20.1))
    for _ in range(3):
        fresh.make(fails)
    assert times == 2, "it rests after a failure too"


def test_who_looks_while_another_reads_does_not_wait() -> None:
    fresh, read = Fresh(), list[str]()

    def outer() -> None:
        fresh.make(lambda: read.append("inner"))
        read.append("outer")

    fresh.make(outer)
    assert read == ["outer"]
