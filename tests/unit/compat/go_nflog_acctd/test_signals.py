"""The signals that end the program, in Go's words."""

import os
import signal
import time

import pytest

from netledger.compat.go_nflog_acctd.signals import EndSignals


@pytest.mark.parametrize(
    ("number", "word"),
    [
        (signal.SIGINT, "interrupt"),
        (signal.SIGTERM, "terminated"),
        (signal.SIGQUIT, "quit"),
        (signal.SIGHUP, "hangup"),
    ],
)
def test_a_signal_that_came_before_the_wait_is_not_missed(number: signal.Signals, word: str) -> None:
    with EndSignals() as signals:
        os.kill(os.getpid(), number)
        assert signals.wait(90) == word
        assert signals.wait(0) is None


def test_without_a_signal_the_time_passes() -> None:
    before = time.monotonic()
    with EndSignals() as signals:
        assert signals.wait(0.05) is None
    assert time.monotonic() - before >= 0.05


def test_the_first_of_several_signals_counts() -> None:
    with EndSignals() as signals:
        for number in (signal.SIGQUIT, signal.SIGTERM):
            os.kill(os.getpid(), number)
        assert signals.wait(90) == "quit"


def test_an_ignored_hangup_stays_ignored_and_all_is_as_before_at_the_end() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    others = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)}
    try:
        with EndSignals() as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            assert signals.wait(0.05) is None
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert {number: signal.getsignal(number) for number in others} == others
    finally:
        signal.signal(signal.SIGHUP, before)
