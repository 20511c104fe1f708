"""The reader that all sums of these tests rest on: it must see each kind of broken promise."""

import json
from pathlib import Path

import pytest

from tests.kernel.books import Books
from tests.kernel.lab import Count

HEADER = "account,host,sent_packets,sent_bytes,received_packets,received_bytes\n"
SECOND = {"seq": 2, "interval_start": "B", "interval_end": "C"}
ROWS = "host,10.0.0.1,3,300,0,0\nexternal,,0,0,3,300\n"


def write(store: Path, **changes: object) -> None:
    """Writes an interval of exact books, with ``changes`` in its receipt; ``csv`` changes the rows."""
    rows = changes.pop("csv", ROWS)
    directory = store / "exports" / "lan"
    directory.mkdir(parents=True, exist_ok=True)
    receipt = {
        "node": "gw1", "meter": "lan", "seq": 1, "interval_start": "A", "interval_end": "B", "status": "exact",
        "kernel_packets": 3, "kernel_bytes": 300, "accounted_packets": 3, "accounted_bytes": 300,
        "lost_packets": 0, "lost_bytes": 0, "rows": 2, "reason": None,
    }  # fmt: skip
    receipt |= changes
    name = "{interval_start}_{interval_end}-{seq:08d}".format_map(receipt)
    (directory / f"{name}.csv").write_text(f"{HEADER}{rows}")
    (directory / f"{name}.receipt.json").write_text(json.dumps(receipt))


def test_good_books_have_no_problem_and_add_up(tmp_path: Path) -> None:
    write(tmp_path)
    write(tmp_path, **SECOND)
    books = Books.read(tmp_path)
    assert books.problems() == []
    assert books.sent == books.received == books.kernel == books.accounted == Count(6, 600)
    assert books.by_host()["host", "10.0.0.1"].sent == Count(6, 600)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"kernel_packets": 4}, "is not"),
        ({"csv": ""}, "rows sent"),
        ({"csv": ROWS.replace("300\n", "299\n")}, "rows received"),
        ({"lost_packets": 1, "accounted_packets": 2}, "exact, and yet"),
        ({"status": "lossy"}, "without a reason"),
        ({"seq": 1}, "2 times"),
        ({"interval_start": "BB"}, "starts BB"),
    ],
)
def test_each_broken_promise_is_seen(tmp_path: Path, changes: dict[str, object], complaint: str) -> None:
    write(tmp_path)
    write(tmp_path, **SECOND | changes)
    assert any(complaint in problem for problem in Books.read(tmp_path).problems())


def test_rows_without_a_receipt_are_a_stray_file(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "exports" / "lan" / "B_C-00000002.csv").write_text(HEADER)
    assert Books.read(tmp_path).problems() == ["stray file B_C-00000002.csv"]
