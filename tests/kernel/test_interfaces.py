"""Interfaces by name and by the beginning of one, on a real kernel; one that is not there is told."""

from collections.abc import Iterator

import pytest

from netledger.receipt import Count
from tests.kernel import senders
from tests.kernel.lab import Lab
from tests.kernel.metering import Bench
from tests.kernel.senders import Udp

PLAN = Udp(source="10.77.1.2", destination="10.77.2.2", sources=10, destinations=1, count=1000)


@pytest.fixture
def gateway(lab: Lab) -> Iterator[Lab]:
    with lab.inside(lab.gw):
        yield lab


@pytest.mark.parametrize(
    ("interfaces", "packets", "told"),
    [(("le*",), 1000, []), (("lefft", "left"), 1000, ["lefft"]), (("lex*", "lefft"), 0, ["lex*", "lefft"])],
)
def test_a_beginning_counts_what_it_fits_and_what_is_not_there_is_told(
    gateway: Lab, caplog: pytest.LogCaptureFixture, interfaces: tuple[str, ...], packets: int, told: list[str]
) -> None:
    bench = Bench.on(gateway, interfaces=interfaces)
    bench.open()
    senders.udp(gateway, gateway.left, PLAN)
    bench.close()
    assert bench.statuses() == ["exact"]
    assert bench.sum("accounted") == Count(packets, packets * 100)
    missing = [vars(record)["fields"] for record in caplog.records if record.message == "interface_not_there"]
    assert missing == [{"meter": bench.config.meter, "interface": name} for name in told]
