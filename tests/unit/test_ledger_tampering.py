"""Whatever is changed in a store is found and named, whether its days are compacted, or their rows dropped."""

import os
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from netledger.errors import DamageError
from netledger.intervals import DAY_NS
from netledger.ledger.maintain import maintain
from netledger.ledger.reader import Reader
from netledger.ledger.verify import verify
from netledger.receipt import Count
from tests.unit.memory_source import TestClock
from tests.unit.rows import START_NS, batch
from tests.unit.store import HOSTS, add, filled, opened, receipt_of
from tests.unit.tampering import (
    Tamper,
    another_host,
    another_interval,
    file_of,
    flip,
    more_bytes,
    rewrite,
    sql,
    swap,
    swap_with_care,
    unlink,
)

RAW, COMPACTED, DROPPED = "raw", "compacted", "dropped"
ROWS = (RAW, COMPACTED)
"""Forms that have rows to be changed."""
ANY = (RAW, COMPACTED, DROPPED)

NOT_ITS_FILE = ".parquet: it is not the file that was committed"
NOT_ITS_EXTENT = ".parquet: it does not hold the rows or the times that the ledger says of it"
NOT_ITS_ROWS = "gw1 lan 2: its rows are not those that were committed"
NO_INTERVAL = "gw1 lan 9: the store has rows of it, but no interval"

CASES: list[tuple[str, tuple[str, ...], Tamper, list[str]]] = [
    ("a bit of a file", ROWS, flip, [NOT_ITS_FILE, "gw1 lan 2: its rows are gone (damaged: data/"]),
    ("a file is gone", ROWS, unlink, [".parquet: it is not there", "gw1 lan 2: its rows are gone (damaged: data/"]),
    ("a value", ROWS, rewrite(more_bytes, is_clever=False), [NOT_ITS_FILE]),
    ("a value, with care", ROWS, rewrite(more_bytes), [NOT_ITS_ROWS]),
    ("whose traffic it is", ROWS, rewrite(another_host), [NOT_ITS_ROWS]),
    ("a row less", ROWS, rewrite(lambda rows: rows.slice(1)), ["gw1 lan 2: it has 2 rows, and 3 were committed"]),
    ("all rows of an interval", ROWS, rewrite(lambda rows: rows.slice(0, 0)), ["gw1 lan 2: its rows are gone"]),
    (
        "a row more",
        ROWS,
        rewrite(lambda rows: pa.concat_tables([rows, rows.slice(0, 1)])),
        ["gw1 lan 2: it has 4 rows, and 3 were committed"],
    ),
    ("a row of another interval", ROWS, rewrite(another_interval), ["gw1 lan 2: it has 2 rows", NO_INTERVAL]),
    ("two files swapped", (RAW,), swap, [NOT_ITS_FILE, "gw1 lan 2: its rows are gone", "gw1 lan 3: its rows are gone"]),
    ("two files swapped, with care", (RAW,), swap_with_care, [NOT_ITS_EXTENT]),
    ("a file that is not named", ROWS, sql("DELETE FROM files"), ["gw1 lan 2: its rows are gone"]),
    ("a file that does not count", ROWS, sql("UPDATE files SET dropped_at = 1"), ["gw1 lan 2: its rows are gone"]),
    ("the sum of a file", ROWS, sql("UPDATE files SET sha256 = zeroblob(32)"), [NOT_ITS_FILE]),
    ("the rows of a file", ROWS, sql("UPDATE files SET rows = rows + 1"), [NOT_ITS_EXTENT]),
    # A report of a period would leave the file out.
    ("the time of a file", ROWS, sql("UPDATE files SET interval_end = interval_start"), [NOT_ITS_EXTENT]),
    (
        "a number of a receipt",
        ANY,
        sql("UPDATE intervals SET receipt = replace(receipt, 'kernel_bytes\":1000', 'kernel_bytes\":1001') @lan2"),
        ["gw1 lan 2: its receipt or its digest was changed"],
    ),
    (
        "a receipt that is none",
        ANY,
        sql("UPDATE intervals SET receipt = json_remove(receipt, '$.interval_end') @lan2"),
        ["gw1 lan 2: its receipt is none", "gw1 lan 2: its receipt or its digest was changed"],
    ),
    (
        "a digest",
        ANY,
        sql("UPDATE intervals SET digest = zeroblob(32) @lan2"),
        ["gw1 lan 2: its receipt or its digest was changed"],
    ),
    *(
        (
            order.split()[3],
            ANY,
            sql(order),
            ["gw1 lan 2: the ledger's columns are not what its receipt says"],
        )
        for order in (
            "UPDATE intervals SET interval_start = interval_start + 1 @lan2",
            "UPDATE intervals SET interval_end = interval_end + 1 @lan2",
            "UPDATE intervals SET rows = rows + 1 @lan2",
            "UPDATE intervals SET status = 'lossy' @lan2",
        )
    ),
    (
        "an interval and its rows",
        (RAW,),
        sql("DELETE FROM files WHERE path LIKE '%lan-00000002%'", "DELETE FROM intervals @lan2"),
        ["gw1: 1 taken out of the chain, place 3; numbers that are not there: lan 2"],
    ),
    (
        "an interval, but not its rows",
        ROWS,
        sql("DELETE FROM intervals @lan2"),
        ["gw1: 1 taken out of the chain, place 3", "gw1 lan 2: the store has rows of it, but no interval"],
    ),
    (
        "an interval without rows",
        (DROPPED,),
        sql("DELETE FROM intervals @lan2"),
        ["gw1: 1 taken out of the chain, place 3; numbers that are not there: lan 2"],
    ),
    (
        "the first interval",
        ANY,
        sql("DELETE FROM intervals WHERE position = 1"),
        ["gw1: 1 taken out of the chain, place 1"],
    ),
    (
        "the last interval",
        ANY,
        sql("DELETE FROM intervals WHERE position = 6"),
        ["gw1: 1 taken out of the chain, place 6"],
    ),
    ("every interval", ANY, sql("DELETE FROM intervals"), ["gw1: 6 taken out of the chain, places 1 to 6"]),
    (
        "two intervals exchanged",
        ANY,
        sql(
            "UPDATE intervals SET position = -1 WHERE position = 2",
            "UPDATE intervals SET position = 2 WHERE position = 3",
            "UPDATE intervals SET position = 3 WHERE position = -1",
        ),
        ["gw1 lan 2: it does not follow the interval before it", "gw1 wan 1: it does not follow"],
    ),
    (
        "an interval that nobody counted",
        ANY,
        sql(
            "INSERT INTO intervals SELECT node, 'dmz', seq, interval_start, interval_end, status, 0, "
            "replace(receipt, '\"lan\"', '\"dmz\"'), digest, 7, chain, zeroblob(32), 0 FROM intervals @lan2"
        ),
        ["gw1 dmz 2: its receipt or its digest was changed", "gw1 dmz 2: the chain does not end with it"],
    ),
    (
        "the end of the chain",
        ANY,
        sql("UPDATE chains SET chain = zeroblob(32)"),
        ["gw1 wan 3: the chain does not end with it"],
    ),
    ("a place beyond the end", ANY, sql("UPDATE chains SET position = 7"), ["gw1: 1 taken out of the chain, place 7"]),
    ("an end that is gone", ANY, sql("DELETE FROM chains"), ["gw1 wan 3: the chain does not end with it"]),
]


def made(store: Path, form: str) -> Path:
    """Brings a store into that form; without intervals it gets six."""
    if not (store / "ledger.sqlite").exists():
        filled(store)
    if form != RAW:
        with opened(store, clock=TestClock(START_NS + 40 * DAY_NS)) as ledger:
            maintain(ledger, keep_days=30 if form == DROPPED else None)
        assert len(Reader(store).snapshot().files) == (0 if form == DROPPED else 1)
    return store


def problems(store: Path) -> list[str]:
    return [str(problem) for problem in verify(Reader(store))]


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One store of each form; to be copied."""
    return {form: made(tmp_path_factory.mktemp(form), form) for form in ANY}


@pytest.mark.parametrize("form", ANY)
def test_a_store_that_nobody_touched_is_in_order(tmp_path: Path, form: str) -> None:
    with opened(tmp_path) as ledger:
        add(ledger, 8, [])
        ledger.commit(receipt_of(9, lost=Count(3, 400)), batch(HOSTS))
    assert problems(made(tmp_path, form)) == []


@pytest.mark.parametrize(
    ("form", "tamper", "expected"),
    [
        pytest.param(form, tamper, expected, id=f"{name}-{form}")
        for name, forms, tamper, expected in CASES
        for form in forms
    ],
)
def test_what_was_changed_is_named(
    tmp_path: Path, originals: dict[str, Path], form: str, tamper: Tamper, expected: list[str]
) -> None:
    store = shutil.copytree(originals[form], tmp_path / "store")
    tamper(store)
    found = problems(store)
    for text in expected:
        assert any(text in problem for problem in found), found


@pytest.mark.parametrize("form", ROWS)
def test_a_file_that_somebody_added_is_named(tmp_path: Path, originals: dict[str, Path], form: str) -> None:
    store = shutil.copytree(originals[form], tmp_path / "store")
    known = file_of(store, "lan", 1)
    added = known.with_name("gw1-lan-00000099-abcdef01.parquet")
    shutil.copy(known, added)
    assert problems(store) == [], "it may be a commit that is under way"
    os.utime(added, (0, 0))
    assert [problem.partition(": ")[0] for problem in problems(store)] == [str(added.relative_to(store))]


def test_rows_that_are_there_and_are_said_to_be_gone_are_named(tmp_path: Path, originals: dict[str, Path]) -> None:
    store = shutil.copytree(originals[RAW], tmp_path / "store")
    sql("INSERT INTO days_dropped SELECT tab, day, max(committed_at) + 1 FROM files GROUP BY tab, day")(store)
    assert any(
        "are marked as removed because of their age, and these are still there" in one for one in problems(store)
    )


@pytest.mark.parametrize("is_emptied", [True, False])
def test_rows_without_a_ledger_are_damage(tmp_path: Path, originals: dict[str, Path], is_emptied: bool) -> None:
    store = shutil.copytree(originals[RAW], tmp_path / "store")
    (store / "ledger.sqlite").unlink()
    if is_emptied:
        (store / "ledger.sqlite").touch()
    with pytest.raises(DamageError, match="there is no ledger, but there are rows"):
        verify(Reader(store))


@pytest.mark.parametrize("position", [0, 30, 60, 99])
@pytest.mark.parametrize("form", ROWS)
def test_any_bit_of_a_file_counts(tmp_path: Path, originals: dict[str, Path], form: str, position: int) -> None:
    store = shutil.copytree(originals[form], tmp_path / "store")
    path = file_of(store, "lan", 1)
    content = bytearray(path.read_bytes())
    content[len(content) * position // 100] ^= 0x10
    path.write_bytes(content)
    assert any(problem.startswith(f"{path.relative_to(store)}: ") for problem in problems(store))
