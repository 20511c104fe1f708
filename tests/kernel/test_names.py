"""``netledger report --names`` against a real resolver and a DNS server that is slow, hostile and ignorant."""

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.kernel import dns_server
from tests.unit.booked import Booked, book
from tests.unit.rows import row


@pytest.fixture
def store(tmp_path: Path) -> Path:
    hosts = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "2001:db8::1", "fd09::"]
    lines = [
        *(row("host", host=host, sent=(600 - number, 1)) for number, host in enumerate(hosts)),
        row("external", received=(sum(600 - number for number in range(6)), 6)),
    ]
    return book(tmp_path / "store", [Booked("2026-11-20T10:00:00Z", lines)])


def report(store: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """In namespaces of its own, where 127.0.0.1 is the only server there is."""
    folder = store.parent
    (folder / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:30 attempts:3\n")
    (folder / "nsswitch.conf").write_text("hosts: dns\n")
    words = [
        sys.executable, dns_server.__file__, sys.executable, "-m", "netledger", "report", "--store", str(store),
        "--config", str(folder / "netledger.toml"), "--period", "2026-11-20T10:00Z..2026-11-20T10:05Z", *options,
    ]  # fmt: skip
    (folder / "netledger.toml").write_text("[meters.lan]\n")
    binds = " && ".join(f"mount --bind {folder}/{name} /etc/{name}" for name in ("resolv.conf", "nsswitch.conf"))
    return subprocess.run(
        ["unshare", "--mount", "--net", "sh", "-c", f"ip link set lo up && {binds} && exec {shlex.join(words)}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | {"XDG_CACHE_HOME": str(folder / "cache"), "TZ": "UTC", "COLUMNS": "200"},
    )


def test_names_come_from_the_dns_within_two_seconds(store: Path) -> None:
    started = time.monotonic()
    done = report(store, "--names", "--json", "--where", "account=host", "--by", "host")
    took = time.monotonic() - started
    assert (done.returncode, done.stderr) == (
        0,
        "netledger: no answer about the names of 1 of 5 addresses\n",
    )
    told = {one["host"]: one["host_name"] for one in json.loads(done.stdout)["rows"]}
    hostile = told.pop("10.0.0.2")
    assert told == {
        "10.0.0.1": "printer.example", "10.0.0.3": None, "10.0.0.4": None, "2001:db8::1": "six.example",
        "fd09::/64": None,
    }  # fmt: skip
    # The C library refuses such a name; another one would hand it on.
    assert hostile is None or hostile.isprintable()
    assert took < 60


def test_the_table_has_a_column_of_names_and_no_control_characters(store: Path) -> None:
    done = report(store, "--names", "--unit", "B", "--direction", "sent", "--where", "account=host")
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == "host         host name        sent bytes  sent packets"
    assert "10.0.0.1     printer.example" in done.stdout
    assert all(letter.isprintable() for letter in done.stdout.replace("\n", ""))


def test_without_being_asked_nobody_looks_for_names(store: Path) -> None:
    done = report(store, "--json", "--by", "host")
    assert (done.returncode, done.stderr) == (0, "")
    assert "host_name" not in done.stdout
    assert not (store.parent / "cache").exists()
