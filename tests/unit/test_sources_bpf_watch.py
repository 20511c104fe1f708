"""The thread that looks once a second, where nobody foresaw what ends it."""

import threading
import time

import pytest

from netledger.errors import SourceError
from netledger.sources.bpf_watch import Watch

END_SECONDS = 60.0


def test_a_watch_whose_thread_has_ended_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)

    def look() -> None:
        raise ZeroDivisionError

    def is_told() -> bool:
        try:
            watch.check()
        except SourceError as error:
            return "its thread has ended" in str(error)
        return False

    watch = Watch(look, seconds=0.01)
    watch.open()
    try:
        end = time.monotonic() + END_SECONDS
        while not is_told():
            assert time.monotonic() < end, "nobody is told"
    finally:
        watch.close()
    watch.check()
