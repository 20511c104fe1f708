"""The filters, against what the old program counted."""

import pytest

from netledger.compat.nacctd.filters import filter_of
from netledger.compat.nacctd.naccttab import parse
from netledger.compat.nacctd.numbers import to_address
from tests.compat.nacctd.transcript import names, transcript

# What all the recorded runs of filters had as traffic: source, destination, interface, packets.
TRAFFIC = (
    ("10.9.0.1", "10.9.0.2", "eth0", 2),
    ("10.9.0.1", "10.20.0.1", "eth0", 3),
    ("10.9.0.1", "192.168.5.1", "eth0", 4),
    ("127.0.0.1", "127.0.0.1", "lo", 5),
    ("127.0.0.1", "127.0.0.2", "lo", 6),
)


@pytest.mark.parametrize("name", [name for name in names() if name.startswith("05-")])
def test_the_recorded_traffic_is_filtered_as_recorded(name: str) -> None:
    recorded = transcript(name)
    table = parse(recorded.naccttab.encode()).table
    assert table is not None
    # On loopback the old program counted each packet twice.
    expected = {
        (fields[1], fields[3], fields[7], int(fields[5]) // (2 if fields[7] == "lo" else 1))
        for fields in (line.split("\t") for line in recorded.log)
    }
    counts = filter_of(table)
    assert expected == {each for each in TRAFFIC if counts(to_address(each[0]), to_address(each[1]), each[2])}
