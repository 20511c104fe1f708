"""What a log line looks like, for whom, and how often the same is said."""

import io
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from netledger.daemon import logs
from netledger.daemon.logs import REPEAT_SECONDS, KeyValueFormatter, RepeatHandler, is_journal


class Log:
    """A handler on a text, at a time that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0
        self._text = io.StringIO()
        self.handler = RepeatHandler(self._text, clock=lambda: self.now)
        self.handler.setFormatter(KeyValueFormatter())

    def __call__(self, level: int, event: str, **fields: object) -> None:
        record = logging.LogRecord("netledger", level, __file__, 1, event, (), None)
        record.fields = fields
        self.handler.handle(record)

    def lines(self) -> list[str]:
        """What was written since the last look."""
        text = self._text.getvalue()
        self._text.seek(0)
        self._text.truncate()
        return text.splitlines()


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.mark.parametrize(
    ("message", "fields", "line"),
    [
        ("committed", {"seq": 12, "meter": "lan"}, "level=info meter=lan event=committed seq=12"),
        ("failed", {"error": 'no "x"\nlevel=error'}, 'level=info event=failed error="no \\"x\\"\\nlevel=error"'),
        ("empty", {"a": ""}, 'level=info event=empty a=""'),
        ("rules_changed meter=lan", None, "level=info event=rules_changed meter=lan"),
        ("two\nlines", None, "level=info event=two\\nlines"),
    ],
)
def test_a_log_line_is_one_line_of_keys_and_values(message: str, fields: dict[str, object] | None, line: str) -> None:
    record = logging.LogRecord("netledger", logging.INFO, __file__, 1, message, (), None)
    if fields is not None:
        record.fields = fields
    assert KeyValueFormatter().format(record) == line


@pytest.mark.parametrize(
    ("level", "start"),
    [(logging.ERROR, "<3>"), (logging.WARNING, "<4>"), (logging.INFO, "<6>"), (logging.DEBUG, "<7>")],
)
def test_a_line_for_the_journal_begins_with_its_priority(level: int, start: str) -> None:
    record = logging.LogRecord("netledger", level, __file__, 1, "two\nlines", (), None)
    line = KeyValueFormatter(has_priority=True).format(record)
    assert line == f"{start}level={logging.getLevelName(level).lower()} event=two\\nlines"


def test_the_journal_is_known_by_its_file_and_not_by_a_variable_that_was_inherited(tmp_path: Path) -> None:
    with (tmp_path / "a").open("w") as file:
        status = os.fstat(file.fileno())
        assert is_journal(file.fileno(), f"{status.st_dev}:{status.st_ino}")
        assert not is_journal(file.fileno(), f"{status.st_dev}:{status.st_ino + 1}")
        assert not is_journal(file.fileno(), "nonsense")
        assert not is_journal(file.fileno(), None)
    assert not is_journal(9_999, "1:1")


@pytest.mark.parametrize("is_told", [False, True])
def test_a_program_under_the_journal_prefixes_its_lines(tmp_path: Path, *, is_told: bool) -> None:
    code = "import logging; from netledger.daemon import logs; logs.set_up(); logging.getLogger('netledger').error('a')"
    with (tmp_path / "err").open("w") as file:
        status = os.fstat(file.fileno())
        stream = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"} if is_told else {}
        subprocess.run([sys.executable, "-c", code], check=True, stderr=file, env=os.environ | stream)
    assert (tmp_path / "err").read_text() == ("<3>" if is_told else "") + "level=error event=a\n"


def test_the_same_trouble_is_said_once_a_minute_with_how_often_it_was(log: Log) -> None:
    for number in range(18):
        log.now = float(number)
        log(logging.ERROR, "commit_failed", meter="lan", seq=number, error=f"file-{number}: no space left")
    assert log.lines() == ['level=error meter=lan event=commit_failed seq=0 error="file-0: no space left"']
    log.now = REPEAT_SECONDS - 0.1
    log.handler.say_due()
    assert log.lines() == []
    log.now = REPEAT_SECONDS
    log.handler.say_due()
    last = 'level=error meter=lan event=commit_failed seq=17 error="file-17: no space left" repeated=17'
    assert log.lines() == [last]
    log.now = 3 * REPEAT_SECONDS
    log(logging.ERROR, "commit_failed", meter="lan", seq=20, error="file-20: no space left")
    assert log.lines() == ['level=error meter=lan event=commit_failed seq=20 error="file-20: no space left"']


def test_what_was_counted_comes_out_with_the_next_line_of_any_kind(log: Log) -> None:
    for _ in range(3):
        log(logging.WARNING, "not_cut", meter="lan", waiting=13)
    log.now = REPEAT_SECONDS + 1
    log(logging.INFO, "committed", meter="wan", seq=1)
    first = "level=warning meter=lan event=not_cut waiting=13"
    assert log.lines() == [first, f"{first} repeated=2", "level=info meter=wan event=committed seq=1"]


def test_what_was_counted_comes_out_at_the_end(log: Log) -> None:
    for _ in range(4):
        log(logging.WARNING, "not_cut", meter="lan", waiting=13)
    log.handler.close()
    assert log.lines()[1:] == ["level=warning meter=lan event=not_cut waiting=13 repeated=3"]


def test_python_itself_has_it_said_at_the_end_of_the_process() -> None:
    code = (
        "import logging; from netledger.daemon import logs; logs.set_up(); say = logging.getLogger('netledger').error;"
        "say('a'); say('a'); say('a')"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stderr == "level=error event=a\nlevel=error event=a repeated=2\n"


@pytest.mark.parametrize(
    "other",
    [
        {"meter": "wan", "error": "no space left"},
        {"meter": "lan", "error": "read-only file system"},
        {"meter": "lan", "error": "no space left", "hint": "free some"},
    ],
)
def test_another_meter_or_another_cause_is_news(log: Log, other: dict[str, object]) -> None:
    log(logging.ERROR, "commit_failed", meter="lan", error="no space left")
    log(logging.ERROR, "commit_failed", **other)
    log(logging.WARNING, "commit_failed", **other)
    assert len(log.lines()) == 3


def test_each_mistake_of_a_configuration_is_said(log: Log) -> None:
    for line in (4, 5):
        log(logging.ERROR, "reload_refused", problem=f"f:{line}: rows: unknown key")
    assert len(log.lines()) == 2


def test_results_are_never_left_out(log: Log) -> None:
    for seq in range(50):
        log(logging.INFO, "committed", meter="lan", seq=seq)
    assert len(log.lines()) == 50


def test_what_is_remembered_has_a_bound_and_nothing_is_lost_by_it(log: Log) -> None:
    for _ in range(2):
        for number in range(300):
            log(logging.ERROR, "a", meter=f"m{number}")
    log.handler.close()
    lines = log.lines()
    assert len(lines) == 600
    assert {f"level=error meter=m{number} event=a" for number in range(300)} == set(lines)


def test_the_loop_of_the_daemon_has_due_counts_said(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log()
    monkeypatch.setattr(logging.getLogger("netledger"), "handlers", [log.handler])
    for _ in range(2):
        log(logging.ERROR, "a")
    log.now = REPEAT_SECONDS
    logs.say_due()
    assert log.lines() == ["level=error event=a"] * 2
