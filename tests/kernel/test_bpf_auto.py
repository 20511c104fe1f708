"""``source = "auto"``: the program in the kernel where that can be, else NFLOG; and the change between them."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.evidence import Chosen, chosen
from netledger.errors import SourceError
from netledger.sources.bpf_probe import check_memory
from tests.kernel import senders
from tests.kernel.bpf_box import BPFFS, BpfLab, own_bpffs, pins
from tests.kernel.gateway import Gateway
from tests.kernel.lab import Lab, wait_for
from tests.kernel.lesser import SOMEBODY, THEIR_GROUP, LesserGateway, bounded
from tests.kernel.senders import Udp

THROUGH = Udp(source="10.77.1.2", destination="10.77.2.2", sources=10, count=2_000)
AUTO = {"lan": 'local = ["10.77.1.0/24", "fd77:1::/64"]\n'}
NFLOG = {"lan": 'source = "nflog"\nlocal = ["10.77.1.0/24", "fd77:1::/64"]\n'}
WITHOUT_RIGHTS = ("setpriv", *bounded("net_admin", "net_raw"))
MINE = BPFFS / "netledger"


@pytest.fixture
def lab() -> Iterator[BpfLab]:
    with own_bpffs(), BpfLab() as made:
        made.witness(made.gw)
        yield made


def counted(lab: Lab, gateway: Gateway, *settings: str) -> Chosen:
    """Counts some packets in one interval, and says what ``auto`` came to; the books must be exact."""
    gateway.start(*settings)
    gateway.wait_until_counting()
    senders.udp(lab, lab.left, THROUGH)
    assert gateway.stop() == 0
    books = gateway.books()
    assert books.problems() == []
    assert set(books.statuses) == {"exact"}
    assert books.sent == books.received == lab.counter(lab.gw, "witness", "total")
    return chosen(gateway.log())


def test_on_a_small_machine_it_is_nflog_and_says_how_many_rows_would_fit(lab: BpfLab) -> None:
    """All rows are in the kernel's memory from the start, and cannot be swapped out."""
    small = lab.directory / "meminfo"
    small.write_text("MemTotal:         524288 kB\nMemAvailable:     400000 kB\n")
    subprocess.run(["mount", "--bind", small, "/proc/meminfo"], check=True)
    gateway = Gateway(lab, lab.gw, interval="1h", meters=AUTO)
    found = counted(lab, gateway)
    assert found.name == "nflog"
    assert "rows_max = 1000000 would take" in found.why
    fits = int(re.findall(r"rows_max = (\d+) or less", gateway.log())[-1])
    assert 400_000 < fits < 600_000
    check_memory(("host",), fits, small)
    with pytest.raises(SourceError):
        check_memory(("host",), fits * 2, small)


def laid_over(directory: str) -> None:
    """Hides what is in a directory, for this test alone: it has a mount namespace of its own."""
    subprocess.run(["mount", "-t", "tmpfs", "netledger-test", directory], check=True)


def test_it_is_bpf_where_all_is_there_and_status_says_so(lab: BpfLab) -> None:
    gateway = Gateway(lab, lab.gw, interval="1h", meters=AUTO)
    gateway.start_counting()
    asked = [sys.executable, "-m", "netledger", "status", "--json", "--config", str(gateway.file)]
    (meter,) = json.loads(lab.run(lab.gw, asked))["meters"]
    assert (meter["source"], meter["source_better"]) == ("bpf", None)
    assert "netledger" not in lab.run(lab.gw, ["nft", "list", "tables"])
    gateway.child.kill()
    assert counted(lab, gateway).name == "bpf"
    assert pins() == []


def test_without_the_rights_it_is_nflog_and_the_line_names_them(lab: BpfLab) -> None:
    found = counted(lab, Gateway(lab, lab.gw, interval="1h", meters=AUTO), *WITHOUT_RIGHTS)
    assert found.name == "nflog"
    assert "missing: CAP_BPF, CAP_PERFMON" in found.why
    assert "CAP_BPF" in found.better


def test_what_only_rules_can_give_is_nflog(lab: BpfLab) -> None:
    meters = {"lan": AUTO["lan"] + 'key = ["host", "label"]\n'}
    found = counted(lab, Gateway(lab, lab.gw, interval="1h", meters=meters))
    assert (found.name, found.better) == ("nflog", "leave label out of its key")


def test_where_ip_netns_exec_hides_the_file_system_the_line_says_how_to_see_it() -> None:
    with Lab() as lab:
        lab.witness(lab.gw)
        found = counted(lab, Gateway(lab, lab.gw, interval="1h", meters=AUTO))
    assert found.name == "nflog"
    assert "none at /sys/fs/bpf in this mount namespace" in found.why
    assert "nsenter --net=/run/netns/NAME" in found.better


def test_without_a_bpf_file_system_it_is_nflog(lab: BpfLab) -> None:
    laid_over("/sys/fs/bpf")
    found = counted(lab, Gateway(lab, lab.gw, interval="1h", meters=AUTO))
    assert found.name == "nflog"
    assert "mount -t bpf bpf /sys/fs/bpf" in found.better


def test_without_the_kernels_types_it_is_nflog(lab: BpfLab) -> None:
    laid_over("/sys/kernel/btf")
    found = counted(lab, Gateway(lab, lab.gw, interval="1h", meters=AUTO))
    assert found.name == "nflog"
    assert "/sys/kernel/btf/vmlinux is not there" in found.why
    assert "CONFIG_DEBUG_INFO_BTF" in found.better


def test_where_a_seccomp_filter_denies_it_the_line_says_so(lab: BpfLab) -> None:
    gateway = Gateway(lab, lab.gw, interval="1h", meters=AUTO)
    found = counted(lab, gateway, f"PYTHONPATH={Path.cwd()}", sys.executable, "-m", "tests.kernel.denied")
    assert found.name == "nflog"
    assert "seccomp" in found.why
    assert "allow the system call bpf" in found.better


@pytest.mark.parametrize("is_made", [True, False])
def test_an_ordinary_user_with_three_capabilities_and_a_directory_is_enough(lab: BpfLab, *, is_made: bool) -> None:
    rights = "-all,+net_admin,+bpf,+perfmon"
    user = (f"--reuid={SOMEBODY}", f"--regid={THEIR_GROUP}", "--clear-groups")
    gateway = LesserGateway(lab, *user, f"--inh-caps={rights}", f"--ambient-caps={rights}", interval="1h")
    gateway.write(gateway.file.read_text().replace('source = "nflog"\n', ""))
    gateway.belongs_to_somebody()
    BPFFS.chmod(0o711)
    if is_made:
        MINE.mkdir(mode=0o700)
        os.chown(MINE, SOMEBODY, THEIR_GROUP)
    found = counted(lab, gateway)
    assert found.name == ("bpf" if is_made else "nflog")
    if not is_made:
        assert f"install -d -m 0700 -o {SOMEBODY} {MINE}" in found.better


def test_after_a_kill_nflog_finishes_what_bpf_counted_and_the_other_way_round(lab: BpfLab) -> None:
    gateway = Gateway(lab, lab.gw, interval="1h", meters=AUTO)
    auto = gateway.file.read_text()
    by_rules = auto.replace("[meters.lan]\n", '[meters.lan]\nsource = "nflog"\n')
    for text in (auto, by_rules, auto, by_rules):
        gateway.write(text)
        gateway.start_counting()
        senders.udp(lab, lab.left, THROUGH)
        gateway.child.kill()
        senders.udp(lab, lab.left, THROUGH)
    gateway.write(auto)
    gateway.start_counting()
    assert gateway.stop() == 0
    books = gateway.books()
    gaps = books.problems()  # some ms at each change, in which nobody counts
    assert (len(gaps), {" starts " in gap for gap in gaps}) == (4, {True})
    assert books.kernel == lab.counter(lab.gw, "witness", "total")
    assert {one.status for one in books.intervals if one.receipt["source"] == "bpf"} == {"exact"}
    # By rules what passes while nobody listens is counted, and nobody knows whose it was.
    assert books.lost.packets >= 2 * THROUGH.count
    assert books.accounted + books.lost == books.kernel
    assert (pins(), "netledger" in lab.run(lab.gw, ["nft", "list", "tables"])) == ([], False)
    log = gateway.log()
    assert (log.count("event=finished source=bpf"), log.count("event=finished source=nflog")) == (2, 2)


def test_a_reload_that_only_rules_can_serve_changes_to_nflog_and_loses_nothing(lab: BpfLab) -> None:
    gateway = Gateway(lab, lab.gw, interval="1h", meters=AUTO)
    gateway.start_counting()
    senders.udp(lab, lab.left, THROUGH)
    gateway.write(gateway.file.read_text() + 'key = ["host", "label"]\n')
    gateway.child.signal(signal.SIGHUP)
    wait_for(lambda: gateway.log().count("event=counting") == 2, 20, gateway.log())
    senders.udp(lab, lab.left, THROUGH)
    assert gateway.stop() == 0
    books = gateway.books()
    assert [one.receipt["source"] for one in books.intervals if one.kernel.packets] == ["bpf", "nflog"]
    assert set(books.statuses) == {"exact"}
    assert books.sent == books.kernel == lab.counter(lab.gw, "witness", "total")
    assert pins() == []


@pytest.mark.parametrize(("key", "named"), [("interfaces_excluded", []), ("interfaces", ["left", "right"])])
def test_more_interfaces_than_the_program_has_room_for_are_counted_by_rules(
    lab: BpfLab, key: str, named: list[str]
) -> None:
    names = json.dumps([f"ppp{number}" for number in range(40)] + named)
    meters = {"lan": f"{AUTO['lan']}{key} = {names}\n"}
    found = counted(lab, Gateway(lab, lab.gw, interval="1h", meters=meters))
    assert found.name == "nflog"
    assert "more than 32 interfaces" in found.why


def test_what_bpf_counted_is_read_without_the_rights_to_count_by_it(lab: BpfLab) -> None:
    gateway = Gateway(lab, lab.gw, interval="1h", meters=AUTO)
    gateway.start_counting()
    senders.udp(lab, lab.left, THROUGH)
    gateway.child.kill()
    senders.udp(lab, lab.left, THROUGH)
    truth = lab.counter(lab.gw, "witness", "total")
    gateway.start(*WITHOUT_RIGHTS)
    gateway.wait_until_counting()
    assert pins() == []
    assert gateway.stop() == 0
    first = gateway.books().intervals[0]
    assert (first.receipt["source"], first.status, first.kernel, first.sent) == ("bpf", "exact", truth, truth)
    assert truth.packets == 2 * THROUGH.count


def test_what_bpf_counted_is_not_given_up_where_it_may_not_be_read(lab: BpfLab) -> None:
    gateway = Gateway(lab, lab.gw, interval="1h", meters=AUTO)
    gateway.start_counting()
    senders.udp(lab, lab.left, THROUGH)
    gateway.child.kill()
    (directory,) = MINE.iterdir()
    os.chown(directory, SOMEBODY, THEIR_GROUP)
    directory.chmod(0o700)
    assert gateway.start(*WITHOUT_RIGHTS).wait() == 1
    assert "meter lan: finish what the source bpf left: " in gateway.child.errors()
    assert "permission denied" in gateway.child.errors()
    senders.udp(lab, lab.left, THROUGH)
    os.chown(directory, 0, 0)
    gateway.start_counting()
    assert gateway.stop() == 0
    books = gateway.books()
    assert (books.problems(), set(books.statuses)) == ([], {"exact"})
    assert books.sent == lab.counter(lab.gw, "witness", "total")
    assert books.sent.packets == 2 * THROUGH.count


def test_it_is_mounted_where_it_is_missing_and_only_where_everybody_sees_it() -> None:
    look = "from netledger.sources.bpf_place import ROOT, file_system, mount_if_missing; mount_if_missing(); "
    script = 'while umount /sys/fs/bpf 2>/dev/null; do :; done; exec "$@"'
    asked = ["sh", "-c", script, "sh", sys.executable, "-c", f"{look}print(file_system(ROOT))"]
    alone = ["unshare", "--mount", "--propagation", "private"]
    as_the_first = [*alone, "--pid", "--fork", "--mount-proc"]
    found = [
        subprocess.run([*words, *asked], check=True, capture_output=True, text=True).stdout.strip()
        for words in (as_the_first, alone)
    ]
    assert found == ["bpf", "sysfs"]
