"""Signals that wait in a pipe."""

import os
import signal
import threading

from netledger.signals import SignalPipe

BOTH = (signal.SIGUSR1, signal.SIGUSR2)


def test_what_comes_before_somebody_looks_is_given_in_its_order() -> None:
    with SignalPipe(BOTH) as pipe:
        for number in (signal.SIGUSR2, signal.SIGUSR1, signal.SIGUSR2):
            os.kill(os.getpid(), number)
        assert pipe.wait(90) == [signal.SIGUSR2, signal.SIGUSR1, signal.SIGUSR2]
        assert pipe.wait(0) == []


def test_another_thread_ends_the_wait_and_is_no_signal() -> None:
    with SignalPipe(BOTH) as pipe:
        threading.Thread(target=pipe.notify).start()
        assert pipe.wait(90) == []
        for _ in range(100_000):  # more than the pipe holds
            pipe.notify()
        assert pipe.wait(90) == []


def test_a_descriptor_ends_the_wait() -> None:
    reader, writer = os.pipe()
    with SignalPipe(BOTH) as pipe:
        os.write(writer, b"x")
        assert pipe.wait(10, reader) == []
        os.kill(os.getpid(), signal.SIGUSR1)
        assert pipe.wait(10, reader) == [signal.SIGUSR1]
    os.close(reader)
    os.close(writer)


def test_afterwards_signals_do_what_they_did() -> None:
    before = [signal.getsignal(number) for number in BOTH]
    with SignalPipe(BOTH):
        assert signal.getsignal(signal.SIGUSR1) != before[0]
    assert [signal.getsignal(number) for number in BOTH] == before
