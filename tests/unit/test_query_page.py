"""The page on DuckDB does what it says: its queries run as they stand, and come to what the report says."""

import ipaddress
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from netledger.receipt import Count
from tests.unit.booked import Booked, book
from tests.unit.rows import Row, row
from tests.unit.test_cli_main import netledger

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "query-with-duckdb.md"
BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
DAY = ("--period", "2026-11-20", "--timezone", "UTC", "--json")
HOSTS = ("--where", "account=host")


def blocks(language: str) -> list[str]:
    found = BLOCK.finditer(PAGE.read_text(encoding="utf-8"))
    return [block["code"] for block in found if block["language"] == language]


def talk(host: str, protocol: int, sent: tuple[int, int], received: tuple[int, int]) -> list[Row]:
    return [
        row("host", host=host, protocol=protocol, sent=sent, received=received),
        row("external", protocol=protocol, sent=received, received=sent),
    ]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    one = talk("10.0.0.1", 6, (2**40, 9), (70, 1)) + talk("2001:db8::1", 17, (3, 1), (4, 1))
    other = talk("192.168.255.7", 6, (5000, 5), (60, 1)) + talk("fd09::", 1, (64, 1), (0, 0))
    return book(
        tmp_path_factory.mktemp("query") / "store",
        [
            Booked("2026-11-19T23:55:00Z", one),
            Booked("2026-11-20T10:00:00Z", one),
            Booked("2026-11-20T10:05:00Z", other, lost=Count(3, 400)),
            Booked("2026-11-20T11:00:00Z", one + other),
            Booked("2026-11-20T12:00:00Z", []),
        ],
    )


@pytest.fixture
def asked(store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[tuple[object, ...]]]]:
    """What each block of SQL comes to, one after the other as they stand on the page."""
    begin, export = blocks("sh")
    (order,) = re.findall(r'^duckdb -cmd "(.*)"$', begin, re.MULTILINE)
    assert export == "netledger audit --json > audit.json\n"
    monkeypatch.chdir(store.parent)
    Path("audit.json").write_text(netledger("audit", "--store", store, "--json").stdout, encoding="utf-8")
    files = netledger("files", "--sql", "--store", store).stdout
    settings: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    with duckdb.connect(config=settings) as connection:
        connection.execute(order.replace("$(netledger files --sql)", files))
        yield [connection.execute(block).fetchall() for block in blocks("sql")]


def report(store: Path, *options: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = json.loads(netledger("report", "--store", store, *options).stdout)["rows"]
    return rows


def test_the_page_has_the_blocks_that_are_looked_at_here() -> None:
    assert (len(blocks("sh")), len(blocks("sql")), len(blocks("python"))) == (2, 5, 1)


def test_the_queries_come_to_what_the_report_says(store: Path, asked: list[list[tuple[object, ...]]]) -> None:
    _, talkers, hours, protocols, worth = asked
    told = report(store, *DAY, "--by", "host", *HOSTS)
    assert talkers == [(one["host"], one["sent_bytes"], one["received_bytes"]) for one in told]
    assert len(talkers) == 4
    always = ("--period", "2026-11-19..2026-11-21", "--timezone", "UTC", "--json")
    told = report(store, *always, "--by", "", "--per", "hour", *HOSTS)
    assert [(f"{str(hour).replace(' ', 'T')}Z", *sums) for hour, *sums in hours] == [
        (one["interval_start"], one["sent_bytes"], one["received_bytes"]) for one in told
    ]
    told = report(store, *always, "--by", "protocol", *HOSTS)
    assert protocols == [
        (
            one["protocol"],
            int(str(one["sent_packets"])) + int(str(one["received_packets"])),
            int(str(one["sent_bytes"])) + int(str(one["received_bytes"])),
        )
        for one in told
    ]
    balance = json.loads(netledger("audit", "--store", store, "--json").stdout)["balance"]
    # One exact interval has no rows.
    assert [line[:2] for line in worth] == [("exact", balance["exact"] - 1), ("lossy", balance["lossy"])]
    assert sum(int(str(line[2])) for line in worth) == balance["kernel_bytes"]


@pytest.mark.parametrize(
    "address",
    [
        "10.1.2.3", "255.255.255.255", "0.0.0.7", "::", "::1", "fd09::", "2001:db8::1", "2001:db8:0:1::",
        "1:0:2:3:4:5:6:7", "2001:0:0:1::1", "ff02::1:ff00:42", "abcd:ef01:2345:6789:abcd:ef01:2345:6789",
        "::fffe:102:304", "1:0:0:2::3",
    ],
)  # fmt: skip
def test_addresses_read_as_people_write_them(address: str) -> None:
    parsed = ipaddress.ip_address(address)
    packed = parsed.packed if parsed.version == 6 else bytes(10) + b"\xff\xff" + parsed.packed
    with duckdb.connect() as connection:
        connection.execute(blocks("sql")[0])
        (text,) = connection.execute("SELECT address_text(?)", [packed]).fetchone() or ("",)
    assert ipaddress.ip_address(text) == parsed
    # Of several runs of zeros the page leaves out the first, and says so.
    if re.search(r"\b0:0:.*::", address) is None:
        assert text == str(parsed)


def test_the_program_runs_and_finds_the_books_balanced(store: Path, tmp_path: Path) -> None:
    (code,) = blocks("python")
    assert '"/var/lib/netledger"' in code
    program = tmp_path / "program.py"
    program.write_text(code.replace("/var/lib/netledger", str(store)), encoding="utf-8")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, check=False, env=os.environ | {"PATH": path}
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"lan 1 exact {2**40 + 77} {2**40 + 77} as the kernel counted",
        f"lan 2 exact {2**40 + 77} {2**40 + 77} as the kernel counted",
        "lan 3 lossy 5524 5524 as the kernel counted",
        f"lan 4 exact {2**40 + 5201} {2**40 + 5201} as the kernel counted",
    ]
