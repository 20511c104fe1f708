"""What no two runs on the same flows can show: zeroed counters, and an output that takes no more."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from netledger import conntrack
from netledger.conntrack import Flow
from tests.compat.conntrack.both import Program, run
from tests.compat.conntrack.tables import Traffic

OURS = Path(sys.executable).with_name("conntrack")
pytestmark = [pytest.mark.kernel, pytest.mark.peers("conntrack")]


@pytest.fixture
def traffic() -> Iterator[Traffic]:
    """The thread is where the flows are."""
    with Traffic() as made, made.inside(made.gw):
        yield made


def _moved(flow: Flow) -> int:
    return (flow.original.packets or 0) + (flow.reply.packets or 0)


def _is_translated(flow: Flow) -> bool:
    return (flow.reply.destination_raw, flow.reply.destination_port) != (
        flow.original.source_raw,
        flow.original.source_port,
    )


def test_zeroing_leaves_what_is_not_shown_as_it_is(traffic: Traffic) -> None:
    before = {flow.id: flow for flow in conntrack.dump()}
    shown = run(Program.OURS, ["-L", "-z", "-n", "-o", "id"])
    after = {flow.id: flow for flow in conntrack.dump()}
    translated = {flow.id for flow in before.values() if _is_translated(flow) and flow.original.icmp_type is None}
    assert {int(line.rpartition(b"id=")[2]) for line in shown.output.splitlines()} == translated
    assert len(translated) == 2
    for number, flow in after.items():
        assert _moved(flow) == (0 if number in translated else _moved(before[number]))
        counters = f"packets={before[number].original.packets} bytes={before[number].original.bytes} "
        assert number not in translated or counters.encode() in shown.output


def test_the_real_one_zeroes_all(traffic: Traffic) -> None:
    shown = run(Program.REAL, ["-L", "-z", "-n"])
    assert shown.output.count(b"\n") == 4
    assert all(_moved(flow) == 0 for flow in conntrack.dump())


def test_zeroing_all_shows_what_was_and_leaves_nothing(traffic: Traffic) -> None:
    lines = run(Program.REAL, ["-L", "-o", "id"]).evened()
    shown = run(Program.OURS, ["-L", "-z", "-o", "id"])
    assert shown.evened() == lines
    assert all(_moved(flow) == 0 for flow in conntrack.dump())


def test_an_output_that_takes_no_more_is_told(traffic: Traffic) -> None:
    full = run(Program.OURS, ["-L"], output="/dev/full")
    assert (
        full.errors == b"conntrack v1.4.7 (conntrack-tools): Can't write to standard output: No space left on device\n"
    )
    assert full.status == 1
    closed = f"{OURS} -L >&-"
    with pytest.raises(RuntimeError, match="Can't write to standard output: Bad file descriptor"):
        traffic.run(traffic.gw, ["sh", "-c", closed])
    real = run(Program.REAL, ["-L"], output="/dev/full")
    assert (real.errors.endswith(b"have been shown.\n"), real.status) == (True, 0)
