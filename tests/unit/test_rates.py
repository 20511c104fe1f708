"""What comes per second: of the last 5 to 10 seconds, and from the very first question on."""

from netledger.daemon.rates import Rate, Rates
from netledger.receipt import Count
from tests.unit.rows import SECOND_NS


def at(rates: Rates, seconds: float, packets: int) -> Rate | None:
    return rates.read(int(seconds * SECOND_NS), Count(packets, 100 * packets))


def test_the_first_question_is_answered_since_the_beginning() -> None:
    rates = Rates(0)
    assert at(rates, 0.05, 5) is None
    assert at(rates, 2, 1000) == Rate(packets=500, bytes=50_000, window_ns=2 * SECOND_NS)


def test_with_a_reading_every_5_seconds_the_window_is_5_to_10() -> None:
    rates = Rates(0)
    # 100 a second at first, then 1000.
    at(rates, 5, 500)
    at(rates, 10, 1000)
    rate = at(rates, 14, 5000)
    assert rate == Rate(packets=500, bytes=50_000, window_ns=9 * SECOND_NS)
    assert at(rates, 15, 6000) == Rate(packets=1000, bytes=100_000, window_ns=5 * SECOND_NS)


def test_who_asks_all_the_time_gets_the_last_5_seconds_and_few_readings_are_kept() -> None:
    rates = Rates(0)
    found = [at(rates, 0.05 * tick, 10 * tick if tick < 1000 else 10_000) for tick in range(2, 2001)]
    assert all(rate is not None and rate.packets in (199, 200) for rate in found[100:900])
    assert found[-1] is not None
    assert found[-1].packets == 0
    assert 5 * SECOND_NS <= found[-1].window_ns <= 5.6 * SECOND_NS
    assert len(rates._readings) <= 12


def test_a_counter_that_went_back_has_no_rate() -> None:
    rates = Rates(0)
    at(rates, 5, 500)
    assert at(rates, 11, 400) is None
