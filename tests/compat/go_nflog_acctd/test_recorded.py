"""The recorded cases again, on the real kernel: the same rules, the same packets, the same lines and rows."""

import signal

import pytest

from tests.compat.go_nflog_acctd.transcript import Case, flag_cases, log_of, rows_of
from tests.compat.go_nflog_acctd.wire import Wire
from tests.kernel.lab import Count
from tests.kernel.senders import ping

pytestmark = pytest.mark.kernel

README_RULES = (
    "iptables -A OUTPUT -j NFLOG --nflog-group 4 --nflog-range 20 --nflog-threshold 50 --nflog-prefix IPv4out",
    "iptables -A INPUT -j NFLOG --nflog-group 5 --nflog-range 20 --nflog-threshold 50 --nflog-prefix IPv4in",
    "ip6tables -A OUTPUT -j NFLOG --nflog-group 6 --nflog-range 40 --nflog-threshold 50 --nflog-prefix IPv6out",
    "ip6tables -A INPUT -j NFLOG --nflog-group 7 --nflog-range 40 --nflog-threshold 50 --nflog-prefix IPv6in",
)
ALL_GROUPS = ("-ip4-dst-group=4", "-ip4-src-group=5", "-ip6-dst-group=6", "-ip6-src-group=7")
CASE_RULES = (
    "iptables -A OUTPUT -p udp --dport 9000 -j NFLOG --nflog-group 4 --nflog-size 20 --nflog-threshold 50",
    "iptables -A OUTPUT -p udp --dport 9010 -j NFLOG --nflog-group 4 --nflog-size 10 --nflog-threshold 50",
    "iptables -A OUTPUT -p udp --dport 9011 -j NFLOG --nflog-group 4 --nflog-size 0 --nflog-threshold 50",
    "iptables -A OUTPUT -p icmp -j NFLOG --nflog-group 4 --nflog-size 20 --nflog-threshold 50",
    "ip6tables -A OUTPUT -p udp --dport 9000 -j NFLOG --nflog-group 4 --nflog-size 40 --nflog-threshold 50",
)
PAYLOAD_BYTES = 50
TAKEN = [case for case in flag_cases() if case.status == 124]


def send_readme_traffic(wire: Wire) -> None:
    wire.send(10, 100)
    wire.receive(7, 200)
    wire.send(5, 100, version=6)
    wire.receive(3, 300, version=6)


def is_traffic(line: str) -> bool:
    return line.startswith("IP message") or "Processing" in line


def test_the_readme_scenario_says_the_same_and_counts_the_same(wire: Wire) -> None:
    wire.rules(*README_RULES)
    daemon = wire.start("-interval", "1h", "-debug", "-strict-bytes", *ALL_GROUPS, directory="go1/acc").started()
    send_readme_traffic(wire)
    daemon.wait_for_line(lambda line: line.startswith("IP message"), times=25)
    assert daemon.stop() == 0
    # The four sockets may answer in any order.
    assert sorted(daemon.log()) == sorted(log_of("01"))
    assert [line for line in daemon.log() if not is_traffic(line)] == [
        line for line in log_of("01") if not is_traffic(line)
    ]
    first = daemon.log().index("5: Processing 7 packets")
    assert daemon.log()[first + 1 : first + 8] == ["IP message Source Addr 10.9.0.2 Size 228"] * 7
    assert [sorted(rows) for rows in daemon.files().values()] == rows_of("01")
    assert daemon.leftovers() == []


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kolkata"])
def test_what_is_in_the_file_is_what_the_rules_counted(wire: Wire, zone: str) -> None:
    wire.rules(*README_RULES)
    daemon = wire.start("-interval", "24h", *ALL_GROUPS, zone=zone).started()
    send_readme_traffic(wire)
    assert daemon.stop() == 0
    assert daemon.sums() == {
        "10.9.0.2": (wire.counts("INPUT")[0], wire.counts("OUTPUT")[0]),
        "fd09::": (wire.counts("INPUT", "ip6tables")[0], wire.counts("OUTPUT", "ip6tables")[0]),
    }
    assert daemon.sums()["fd09::"] == (Count(3, 3 * 348), Count(5, 5 * 148))


@pytest.mark.parametrize(
    ("transcript", "words"),
    [
        ("03-05", ["-ip4-prefix-length=24"]),
        ("03-06", ["-ip4-prefix-length=0"]),
        ("03-08", ["-ip4-prefix-length=40"]),
    ],
)
def test_addresses_are_cut_to_the_prefix(wire: Wire, transcript: str, words: list[str]) -> None:
    wire.rules(*CASE_RULES)
    directory = {"03-05": "go3/p24", "03-06": "go3/p0", "03-08": "go3/p40"}[transcript]
    daemon = wire.start("-ip4-dst-group", "4", *words, directory=directory).started()
    wire.send(2, PAYLOAD_BYTES)
    assert daemon.stop() == 0
    assert daemon.log() == log_of(transcript)
    assert list(daemon.files().values()) == rows_of(transcript)


def test_short_packets_are_told_and_left_out(wire: Wire) -> None:
    wire.rules(*CASE_RULES)
    daemon = wire.start("-ip4-dst-group", "4", directory="go3/short").started()
    wire.send(2, PAYLOAD_BYTES, port=9010)
    wire.send(1, PAYLOAD_BYTES)
    daemon.wait_for_line("Short IPv4 packet 10/20 bytes", times=2)
    assert daemon.stop() == 0
    assert daemon.log() == log_of("03-09")
    assert list(daemon.files().values()) == rows_of("03-09")


def test_packets_of_the_other_ip_version_are_told_and_left_out(wire: Wire) -> None:
    wire.rules(*CASE_RULES)
    daemon = wire.start("-ip4-dst-group", "4", directory="go3/v6in4").started()
    wire.send(2, PAYLOAD_BYTES, version=6)
    wire.send(1, PAYLOAD_BYTES)
    daemon.wait_for_line("Bad IP version: 6", times=2)
    assert daemon.stop() == 0
    assert daemon.log() == log_of("03-10")
    assert list(daemon.files().values()) == rows_of("03-10")


def test_packets_without_any_payload_are_told_instead_of_a_crash(wire: Wire) -> None:
    wire.rules(*CASE_RULES)
    daemon = wire.start("-ip4-dst-group", "4").started()
    wire.send(1, PAYLOAD_BYTES)
    wire.send(2, PAYLOAD_BYTES, port=9011)
    daemon.wait_for_line("Short IPv4 packet 0/20 bytes", times=2)
    wire.send(1, PAYLOAD_BYTES)
    assert daemon.stop() == 0
    assert list(daemon.files().values()) == [["TIME,10.9.0.2,0,0,156,2"]]


def test_a_ping_that_is_fragmented_later_is_one_packet(wire: Wire) -> None:
    wire.rules(*CASE_RULES)
    daemon = wire.start("-debug", "-ip4-dst-group", "4", directory="go3/icmp").started()
    ping(wire, wire.a, "10.9.0.2", 1, 3000)
    daemon.wait_for_line("IP message Dest Addr 10.9.0.2 Size 3028")
    assert daemon.stop() == 0
    assert daemon.log() == log_of("03-12")
    assert list(daemon.files().values()) == rows_of("03-12")


def test_quit_ends_it_too(wire: Wire) -> None:
    wire.rules(*CASE_RULES)
    daemon = wire.start("-ip4-dst-group", "4", directory="go3/quit").started()
    wire.send(2, PAYLOAD_BYTES)
    assert daemon.stop(signal.SIGQUIT) == 0
    assert daemon.log() == log_of("03-14")
    assert list(daemon.files().values()) == rows_of("03-14")


def test_hangup_writes_before_it_ends(wire: Wire) -> None:
    wire.rules(*CASE_RULES)
    daemon = wire.start("-ip4-dst-group", "4", directory="go3/quit").started()
    wire.send(2, PAYLOAD_BYTES)
    assert daemon.stop(signal.SIGHUP) == 0
    assert daemon.log() == [line.replace("quit received", "hangup received") for line in log_of("03-14")]
    assert list(daemon.files().values()) == [["TIME,10.9.0.2,0,0,156,2"]]


def test_under_nohup_hangup_is_ignored(wire: Wire) -> None:
    daemon = wire.start("-ip4-dst-group", "4", before=("nohup",)).started()
    daemon.child.signal(signal.SIGHUP)
    assert daemon.stop() == 0
    assert [line for line in daemon.log() if "received" in line] == ["terminated received - shutting down"]


def test_what_the_kernel_still_holds_at_the_end_is_counted(wire: Wire) -> None:
    wire.rules(*CASE_RULES)
    daemon = wire.start("-ip4-dst-group", "4", directory="go3/imm").started()
    wire.send(10, PAYLOAD_BYTES)
    assert daemon.stop() == 0
    assert daemon.log() == log_of("03-15")
    assert list(daemon.files().values()) == [["TIME,10.9.0.2,0,0,780,10"]]


def test_a_profile_is_not_written_but_the_counters_are(wire: Wire) -> None:
    wire.rules(*CASE_RULES)
    daemon = wire.start("-ip4-dst-group", "4", "-memprofile", "mem.prof").started()
    wire.send(2, PAYLOAD_BYTES)
    assert daemon.stop() == 0
    assert daemon.log()[0] == "-memprofile has no effect: there is no Go runtime here"
    assert list(daemon.files().values()) == [["TIME,10.9.0.2,0,0,156,2"]]
    assert not (wire.directory / "mem.prof").exists()


def test_one_group_for_both_directions_is_refused_and_says_why(wire: Wire) -> None:
    daemon = wire.start("-ip4-dst-group", "4", "-ip4-src-group", "4")
    assert daemon.child.wait() == 1
    *before, last = log_of("03-01")
    why = "(group 4 is taken by -ip4-dst-group already; use two groups)"
    assert daemon.log() == [*before, f"{last} {why}"]


def test_a_group_of_another_process_is_refused_and_names_it(wire: Wire) -> None:
    owner = wire.start("-ip4-dst-group", "4").started()
    daemon = wire.start("-ip4-src-group", "4", directory="other")
    assert daemon.child.wait() == 1
    *before, last = log_of("03-02")
    *said, refusal = daemon.log()
    assert said == before
    assert refusal.startswith(f"{last} (already bound by pid {owner.child.pid} ")
    assert owner.stop() == 0


def test_each_address_has_its_row_in_order(wire: Wire) -> None:
    lines = ["route add 2001:db8::/32 via fd09::2"]
    lines += [f"neighbour replace 10.9.0.{host} lladdr 02:77:00:00:01:02 dev wire" for host in range(3, 13)]
    wire.run(wire.a, ["ip", "-batch", "-"], text="\n".join(lines))
    wire.rules(README_RULES[0], README_RULES[2])
    words = ("-ip4-dst-group", "4", "-ip6-dst-group", "6", "-ip6-prefix-length", "128", "-strict-bytes")
    daemon = wire.start(*words).started()
    for host in range(2, 13):
        wire.send(1, 10 * host, to=f"10.9.0.{host}")
    for address in ("2001:db8:1:2::", "2001:db8::1", "2001:db8::1:0:0:1", "2001:db8:1:2:3:4:5:6"):
        wire.send(1, 100, version=6, to=address)
    assert daemon.stop() == 0
    rows = next(iter(daemon.files().values()))
    assert sorted(rows) == rows_of("07")[0] == rows_of("07")[1]
    assert [row.split(",")[1] for row in rows] == [
        *(f"10.9.0.{host}" for host in range(2, 13)),
        "2001:db8::1", "2001:db8::1:0:0:1", "2001:db8:1:2::", "2001:db8:1:2:3:4:5:6",
    ]  # fmt: skip


def test_the_kernel_is_asked_for_what_the_old_program_asked_for(wire: Wire) -> None:
    daemon = wire.start("-ip4-dst-group", "4", "-ip6-src-group", "7").started()
    listing = wire.run(wire.a, ["cat", "/proc/net/netfilter/nfnetlink_log"]).splitlines()
    groups = {int(line.split()[0]): [int(word) for word in line.split()[2:6]] for line in listing}
    # Nothing queued, packets copied, so many bytes of each, held for at most 1 s. IPv6: 8 bytes more, for jumbograms.
    assert groups == {4: [0, 2, 20, 100], 7: [0, 2, 48, 100]}
    assert daemon.stop() == 0
    assert wire.run(wire.a, ["cat", "/proc/net/netfilter/nfnetlink_log"]) == ""


@pytest.mark.parametrize(
    "case", [case for case in flag_cases() if case.status == 124], ids=lambda case: " ".join(case.words)
)
def test_flags_that_were_taken_are_taken_and_mean_the_same(wire: Wire, case: Case) -> None:
    daemon = wire.start(*case.words, directory="gof").started()
    # The transcript shows the first four lines; most of them end with the signal, one with a file.
    ends_by_itself = "received" not in case.lines[-1]
    if ends_by_itself:
        daemon.wait_for_line(case.lines[-1])
    assert daemon.stop() == 0
    ours = [line for line in daemon.log() if "no effect" not in line]
    assert ours[: len(case.lines)] == list(case.lines)
    assert len(daemon.log()) - len(ours) == ("-cpus" in case.words)
