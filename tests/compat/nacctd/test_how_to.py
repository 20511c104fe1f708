"""The page for users of net-acct: a day of a dial-in provider, with the commands and files of the page."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.nacctd.both import Nacctd, Program
from tests.compat.nacctd.space import Line, Wires, ipv4, udp

pytestmark = [pytest.mark.kernel, pytest.mark.peers("nacctd", "perl", "awk")]

PAGE = (Path(__file__).parents[3] / "docs" / "how-to" / "from-net-acct.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = {
    language: [block["text"] for block in BLOCK.finditer(PAGE) if block["language"] == language]
    for language in ("naccttab", "sh", "console", "toml")
}
ADDRESS, SERVER = "193.97.238.40", "10.77.2.2"
# When a line was written, and where that stands in what is told.
_TIMES = re.compile(r"\b1[0-9]{9}\b|\b\d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d)? [+-]\d\d:\d\d")


class Provider(Wires):
    """The machine of the page; sl0 is a line on which somebody is, or nobody."""

    def command(self, line: str, here: Path) -> str:
        """A command of the page. Its files lie where nobody else has any."""
        own = line.replace("/var/log/net-acct", str(here / "log")).replace("/var/run/", f"{here}/users/")
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "TZ": "UTC",
            "LC_ALL": "C",
        }
        done = subprocess.run(
            ["sh", "-c", own], capture_output=True, timeout=120, check=False, env=environment, cwd=here
        )
        # A month of which there is one hour is not whole, and the report says so.
        assert done.returncode in ({0, 3} if "report" in line else {0}), done.stderr.decode()
        return done.stdout.decode()

    def line(self) -> Line:
        """sl0, with the one at the other end."""
        return Line(self, self.gw, "sl0", "193.97.238.3", ADDRESS)

    def fetch(self, line: Line, asked: int, answered: int) -> None:
        """Datagrams of 128 bytes: so many to the server, and so many back."""
        for _ in range(asked):
            line.send(ipv4(ADDRESS, SERVER, 17, udp(1024, 53, 100)))
        packet = ipv4(SERVER, ADDRESS, 17, udp(53, 1024, 100))
        self.frames(self.right, *[packet] * answered)
        self.settled()


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as made:
        made.run(made.right, ["nft", "add", "rule", "inet", "quiet", "sink", "udp", "dport", "53", "drop"])
        yield made


def steps(session: str) -> list[tuple[str, str]]:
    """Commands with what the page shows of their output."""
    return [(step.partition("\n")[0], step.partition("\n")[2]) for step in session.removeprefix("# ").split("\n# ")]


def timeless(text: str) -> str:
    """Without times, and without the end of the last line."""
    return _TIMES.sub("T", text.rstrip("\n"))


def a_day(provider: Provider, program: Program) -> Nacctd:
    """The day of the page, by the scripts of the page."""
    (table,), (login, logout) = BLOCKS["naccttab"], BLOCKS["sh"]
    nacctd = Nacctd(program, provider, "")
    here = nacctd.here
    (here / "log").mkdir()
    (here / "users" / "dialin").mkdir(parents=True)
    nacctd.log = here / "log" / "net-acct.log"
    nacctd.table.write_text(table.replace("/var/log/net-acct", str(here / "log")).replace("/var/run", f"{here}/users"))
    for name, text in (("slip.login", login), ("slip.logout", logout)):
        (here / name).write_text(text.replace("/var/run", f"{here}/users"))
    nacctd.start()
    login_words = "sl0 38400 4711 {user} 193.97.238.3 " + ADDRESS
    with provider.line() as line:
        for user, asked, answered in (("alice", 5, 20), ("bob", 2, 10)):
            provider.command(f"sh slip.login {login_words.format(user=user)}", here)
            provider.noticed(ADDRESS, user)
            provider.fetch(line, asked, answered)
            provider.command(f"sh slip.logout sl0 38400 4711 {user} {ADDRESS}", here)
            provider.noticed(ADDRESS, None)
            provider.fetch(line, int(user == "alice"), 0)
    assert nacctd.stop() == 1
    return nacctd


def test_the_page_accounts_a_day_and_the_sums_are_equal(provider: Provider) -> None:
    here = a_day(provider, Program.OURS).here
    (here / "netledger.toml").write_text(f'node = "gw1"\nstore = "{here}/store"\n')
    _, log, ledger, report = BLOCKS["console"]
    sums: dict[str, int] = {}
    for line, shown in steps(log):
        told = provider.command(line, here)
        assert timeless(told) == timeless(shown), line
        sums = {user: int(octets) for user, octets in re.findall(r"^(\w+) (\d+)$", told, re.MULTILINE)}
    for line, shown in (*steps(ledger), *steps(report)):
        told = provider.command(f"{line} --config {here}/netledger.toml", here)
        assert timeless(told) == timeless(shown), line
    asked = "netledger report --period this-month --by subject --json --config"
    rows = json.loads(provider.command(f"{asked} {here}/netledger.toml", here))["rows"]
    assert {row["subject"]: row["sent_bytes"] + row["received_bytes"] for row in rows} == sums


def test_nacctd_itself_books_the_second_user_on_the_first(provider: Provider) -> None:
    nacctd = a_day(provider, Program.REAL)
    users = {line.split("\t")[-1] for line in nacctd.lines()}
    assert users == {"alice"}
    assert sum(int(line.split("\t")[6]) for line in nacctd.lines()) == 38 * 128


def test_the_configuration_of_the_page_is_one(provider: Provider) -> None:
    (text,) = BLOCKS["toml"]
    file = provider.directory / "netledger.toml"
    file.write_text(text)
    assert "ok" in provider.command(f"netledger config check --config {file}", provider.directory)
