"""The scripts that come with net-acct, as they stand, on nacctd's output and on ours."""

import gzip
import os
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.nacctd.both import PACKAGE, Nacctd, Program
from tests.compat.nacctd.cases import HEADERS, USERS, Case, dial_in
from tests.compat.nacctd.space import Wires

pytestmark = [pytest.mark.kernel, pytest.mark.peers("nacctd", "perl")]

CLASSIC = Case(
    "classic",
    "disable 7\ndynamicip {here}/users\ndynamicnet 10.50.0.0 255.254.0.0\n"
    "exclude-name-lookup 10.50.0.1 255.255.255.255\nexclude-name-lookup 10.51.0.1 255.255.255.255\n",
    dial_in,
    USERS | {"10.51.0.2": "bob\n"},
)
# ppp-acct is a letter with the script in it. Its `sort +1` is no option any more: sorting does not change the sums.
_CUT = re.compile(r"^-+ CUT HERE -+$", re.MULTILINE)


@pytest.fixture(scope="module")
def logs() -> Iterator[tuple[Path, Path]]:
    """The log of each, of the same traffic."""
    with Wires() as wires:
        both = [Nacctd(program, wires, HEADERS + CLASSIC.table) for program in Program]
        for one in both:
            CLASSIC.prepare(one.here)
            one.start()
        dial_in(wires)
        for one in both:
            one.stop()
        real, ours = (one.log for one in both)
        yield real, ours


@pytest.fixture
def workshop(tmp_path: Path) -> Path:
    """The scripts and what they look for in the directory where they run."""
    with tarfile.open(PACKAGE / "examples" / "blitz-net-acct-scripts.tar.gz") as archive:
        archive.extract("get-net-acct-by-host", tmp_path, filter="data")
    for name in ("sl2rdbl", "ctime.pl", "ptime.pl"):
        (tmp_path / name).write_bytes((PACKAGE / "examples" / name).read_bytes())
    networks = gzip.decompress((PACKAGE / "examples" / "german-IP-networks.gz").read_bytes())
    (tmp_path / "german-IP-networks").write_bytes(networks)
    return tmp_path


def _run(workshop: Path, log: Path, *words: str) -> list[str]:
    with log.open("rb") as lines:
        done = subprocess.run(
            words, cwd=workshop, stdin=lines, capture_output=True, check=False, env=os.environ | {"TZ": "UTC"}
        )
    assert done.returncode == 0, done.stderr
    # Lines and hosts are in no order: those of a hash.
    return sorted(done.stdout.decode().splitlines())


def test_sl2rdbl_prints_the_same(logs: tuple[Path, Path], workshop: Path) -> None:
    real, ours = (_run(workshop, log, "perl", "-I.", "sl2rdbl") for log in logs)
    assert len(real) > 30
    assert any("ppp0 udp" in line for line in real)
    # Each line begins with the time at which it was written.
    assert [_timeless(line) for line in ours] == [_timeless(line) for line in real]


def test_get_net_acct_by_host_prints_the_same(logs: tuple[Path, Path], workshop: Path) -> None:
    script = workshop / "get-net-acct-by-host"
    # As installed it looks for its parts where nobody installs them.
    script.write_bytes(script.read_bytes().replace(b"/usr/local/lib/", b"./"))
    real, ours = (_run(workshop, log, "perl", "get-net-acct-by-host") for log in logs)
    assert ours == real
    assert any(line.startswith("from") for line in real)


def test_ppp_acct_books_the_same_on_users(logs: tuple[Path, Path], tmp_path: Path) -> None:
    letter = (PACKAGE / "examples" / "ppp-acct").read_text(errors="replace")
    script = _CUT.split(letter)[1]
    booked = []
    for number, log in enumerate(logs):
        place = tmp_path / str(number)
        homes = place / "home"
        for user in ("alice", "bob", "unknown"):
            (homes / user).mkdir(parents=True)
        (place / "net-acct").write_bytes(log.read_bytes())
        text = script.replace("/usr/var/acct/", f"{place}/").replace("/usr/home/", f"{homes}/")
        subprocess.run(["bash", "-c", text.replace("sort +1", "sort -k2")], check=True, capture_output=True)
        found = {home.name: home / "traffico" for home in homes.iterdir()}
        booked.append({user: int(file.read_text()) for user, file in found.items() if file.exists()})
    real, ours = booked
    assert ours == real
    assert set(real) == {"alice", "bob"}


def _timeless(line: str) -> str:
    """A line of sl2rdbl behind its date, which is 21 characters wide."""
    return line[21:]
