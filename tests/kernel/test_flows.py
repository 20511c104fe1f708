"""``netledger flows`` beside the real ``conntrack``, on flows of a gateway that translates addresses."""

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.kernel import senders
from tests.kernel.flows import none_ends_by_itself
from tests.kernel.lab import Child, Lab, Pair, wait_for
from tests.kernel.senders import Udp
from tests.kernel.settling import settle

pytestmark = [pytest.mark.kernel, pytest.mark.peers("conntrack")]

NETLEDGER = [str(Path(sys.executable).with_name("netledger"))]
Told: TypeAlias = dict[str, str | int | None]

TRACKING = """
table inet tracking {
  chain pre {
    type filter hook prerouting priority -300;
    iifname "left" udp dport 9100 ct zone set 7
  }
  chain marked {
    type filter hook forward priority 0;
    udp dport 9200 ct mark set 0x10
    ct state established accept
  }
  chain local { type filter hook input priority 0; ct state established accept; }
}
table ip nat {
  chain pre { type nat hook prerouting priority dstnat; ip daddr 10.77.1.1 tcp dport 8080 dnat to 10.77.2.2:80; }
  chain post { type nat hook postrouting priority srcnat; oifname "right" tcp dport 80 masquerade; }
}"""

LOCAL = "table inet local { chain i { type filter hook input priority 0; ct state established accept; }; }"

# So many datagrams, each from a port of its own, so that each is a flow.
STORM = Udp(
    source="10.77.1.2", destination="10.77.1.1", source_port=1024, ports=60_000, port=8000, count=60_000, rate=100_000
)

SERVER = """
import socket
with socket.create_server(("10.77.2.2", 80)) as server:
    print("ready", flush=True)
    one, _ = server.accept()
    while one.recv(65536):
        pass
    one.sendall(b"y" * 5000)
    one.close()
"""
CLIENT = """
import socket
with socket.create_connection(("10.77.1.1", 8080)) as one:
    one.sendall(b"x" * 20000)
    one.shutdown(socket.SHUT_WR)
    while one.recv(65536):
        pass
"""
SEND = "import socket, sys; s = socket.socket({family}, socket.SOCK_DGRAM); s.sendto(b'x' * {size}, ({to!r}, {port}))"


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as made:
        made.nft(made.gw, TRACKING)
        switch(made.gw, made.run, nf_conntrack_acct=1, nf_conntrack_timestamp=1, nf_conntrack_events=1)
        with made.inside(made.gw):
            none_ends_by_itself()
        yield made


def switch(namespace: str, run: Callable[..., str], **switches: int) -> None:
    run(namespace, ["sysctl", "-qw", *(f"net.netfilter.{name}={value}" for name, value in switches.items())])


def python(lab: Lab | Pair, namespace: str, code: str) -> None:
    """Runs it, and waits until what it has sent has been received."""
    lab.run(namespace, [sys.executable, "-c", code])
    settle()


def flows(lab: Lab | Pair, namespace: str, *options: str) -> dict[str, list[Told]]:
    told: dict[str, list[Told]] = json.loads(lab.run(namespace, [*NETLEDGER, "flows", "--json", *options]))
    return told


def traffic(lab: Lab) -> None:
    """TCP by SNAT and DNAT, UDP in a zone and with a mark, IPv6, ICMP."""
    server = lab.spawn(lab.right, [sys.executable, "-c", SERVER])
    wait_for(server.output, 10, "the server")
    python(lab, lab.left, CLIENT)
    for port, size in ((9100, 100), (9200, 200)):
        python(lab, lab.left, SEND.format(family="socket.AF_INET", size=size, to="10.77.2.2", port=port))
    python(lab, lab.left, SEND.format(family="socket.AF_INET6", size=300, to="fd77:2::2", port=9300))
    senders.ping(lab, lab.left, "10.77.2.2", 3)


def real(lab: Lab, namespace: str) -> dict[int, dict[str, list[str]]]:
    """What conntrack -L says of each flow, by id: each word's values, the original direction's first."""
    listed = lab.run(namespace, ["conntrack", "-L", "-o", "id,extended"])
    found = {}
    for line in listed.splitlines():
        words: dict[str, list[str]] = {}
        for name, value in re.findall(r"(\S+)=(\S+)", line):
            words.setdefault(name, []).append(value)
        words["state"] = re.findall(
            r" (?:SYN_SENT|SYN_RECV|ESTABLISHED|FIN_WAIT|CLOSE_WAIT|LAST_ACK|TIME_WAIT|CLOSE) ", line
        )
        # The number of a flow stands last; what stands before it is that of ICMP.
        found[int(words["id"][-1])] = words
    return found


def test_it_lists_what_conntrack_lists(lab: Lab) -> None:
    traffic(lab)
    told = flows(lab, lab.gw)["flows"]
    theirs = real(lab, lab.gw)
    assert {one["id"] for one in told} == theirs.keys()
    assert len(told) == 5
    for one in told:
        words = theirs[int(one["id"] or 0)]
        assert [one["sent_bytes"], one["received_bytes"]] == [int(value) for value in words["bytes"]]
        assert [one["sent_packets"], one["received_packets"]] == [int(value) for value in words["packets"]]
        assert one["source"] == words["src"][0]
        assert one["destination"] == words["src"][1]
        assert (one["nat_destination"] or one["destination"]) == words["dst"][0]
        assert (one["nat_source"] or one["source"]) == words["dst"][1]
        assert one["mark"] == int(words["mark"][0])
        assert one["zone"] == int(words.get("zone", ["0"])[0])
        if words["state"]:
            assert one["state"] == words["state"][0].strip()
        if "sport" in words:
            ports = [one["source_port"], one["destination_port"]]
            assert ports == [int(words["sport"][0]), int(words["sport"][1])]


def test_conditions_find_a_flow_by_what_both_ends_call_it(lab: Lab) -> None:
    traffic(lab)

    def found(*conditions: str) -> list[tuple[str | int | None, str | int | None]]:
        options = [word for one in conditions for word in ("--where", one)]
        return [(one["source"], one["destination_port"]) for one in flows(lab, lab.gw, *options)["flows"]]

    web = ("10.77.1.2", 80)
    for condition in ("port=80", "port=8080", "destination=10.77.1.1", "destination=10.77.2.2/31", "source=10.77.2.1"):
        assert web in found(condition, "proto=tcp"), condition
    assert found("zone=7") == [("10.77.1.2", 9100)]
    assert found("mark=0x10", "proto=udp") == [("10.77.1.2", 9200)]
    assert found("family=ipv6") == [("fd77:1::2", 9300)]
    assert found("state=unreplied", "family=ipv4", "port!=9100") == [("10.77.1.2", 9200)]
    assert flows(lab, lab.gw, "--where", "host=192.0.2.0/24")["flows"] == []
    table = lab.run(lab.gw, [*NETLEDGER, "flows", "--where", "proto=tcp"])
    assert "was to 10.77.1.1:8080, as 10.77.2.1:" in table
    assert re.search(r"^1 flow$", table, re.MULTILINE)


def test_without_counters_it_says_how_to_have_them(lab: Lab) -> None:
    switch(lab.gw, lab.run, nf_conntrack_acct=0, nf_conntrack_timestamp=0)
    lab.run(lab.left, ["ping", "-q", "-c", "1", "10.77.2.2"])
    answer = flows(lab, lab.gw)
    (ping,) = answer["flows"]
    assert (ping["sent_bytes"], ping["received_packets"], ping["started_at"]) == (None, None, None)
    assert "sysctl -w net.netfilter.nf_conntrack_acct=1" in str(answer["notes"])
    switch(lab.gw, lab.run, nf_conntrack_acct=1)
    lab.run(lab.left, ["ping", "-q", "-c", "1", "10.77.1.1"])
    table = lab.run(lab.gw, [*NETLEDGER, "flows"])
    assert "1 flow without counters: they began before nf_conntrack_acct was 1" in table


def test_who_may_not_ask_is_told_so() -> None:
    with Pair() as pair, pytest.raises(RuntimeError, match="CAP_NET_ADMIN") as caught:
        pair.run(pair.a, ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", *NETLEDGER, "flows"])
    assert "status 1: netledger: " in str(caught.value)
    assert "Traceback" not in str(caught.value)


def ended(child: Child, number: signal.Signals) -> tuple[int, list[Told], str]:
    child.signal(number)
    return child.wait(), [json.loads(line) for line in child.lines()], child.errors()


def test_names_of_addresses_are_shown_where_they_are_asked_for() -> None:
    with Pair() as pair:
        pair.nft(pair.a, LOCAL)
        pair.run(pair.a, ["ping", "-q", "-c", "1", "127.0.0.1"])
        home = ["env", f"XDG_CACHE_HOME={pair.directory}", *NETLEDGER, "flows"]
        (named,) = json.loads(pair.run(pair.a, [*home, "--names", "--json"]))["flows"]
        (plain,) = flows(pair, pair.a)["flows"]
        table = pair.run(pair.a, [*home, "--names"])
    name = socket.getnameinfo(("127.0.0.1", 0), 0)[0]
    assert (named["source_name"], named["destination_name"]) == (name, name)
    assert (plain["source_name"], plain["destination_name"]) == (None, None)
    assert re.search(rf"127\.0\.0\.1 +{name} +127\.0\.0\.1 +{name} ", table)


def test_a_table_is_as_wide_as_a_terminal_and_in_a_pipe_as_it_is(lab: Lab) -> None:
    traffic(lab)
    command = ["env", "COLUMNS=80", *NETLEDGER, "flows"]
    piped = lab.run(lab.gw, command)
    assert "was to 10.77.1.1:8080, as 10.77.2.1:" in piped
    script = lab.run(lab.gw, ["script", "-qec", " ".join(command), "/dev/null"]).replace("\r", "")
    assert max(map(len, script.splitlines())) <= 80
    assert re.search(r"^no room for .*\bnat\b", script, re.MULTILINE)
    ends = [word for line in piped.splitlines()[1:6] for word in line.split()[1:3]]
    assert [end for end in ends if end not in script.split()] == []


def test_on_a_terminal_the_picture_is_drawn_again_in_its_place() -> None:
    with Pair() as pair:
        pair.nft(pair.a, LOCAL)
        pair.run(pair.a, ["ping", "-q", "-c", "1", "127.0.0.1"])
        ours, theirs = pty.openpty()
        argv = ["ip", "netns", "exec", pair.a, *NETLEDGER, "flows", "--watch", "0.1"]
        # Nothing but what a terminal has: its size is told by the kernel.
        environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        child = subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, env=environment | {"TERM": "xterm"})
        try:
            os.close(theirs)
            shown = b""
            while shown.count(b"bytes/s") < 3:
                assert select.select([ours], [], [], 90)[0], shown
                shown += os.read(ours, 65_536)
            child.send_signal(signal.SIGINT)
            assert child.wait(90) == 130
        finally:
            child.kill()
            child.wait()
            os.close(ours)
    # It goes up again to draw over what it has drawn.
    assert b"\x1b[1A" in shown
    assert b"127.0.0.1" in shown


def test_following_tells_what_begins_changes_and_ends_with_its_counters(lab: Lab) -> None:
    child = lab.spawn(lab.gw, [*NETLEDGER, "flows", "--follow", "--json", "--where", "proto=icmp"])
    wait_for(lambda: "netledger: listening\n" in child.errors(), 20, "its word that it listens")
    assert "NETLINK_NETFILTER" in _netlink(lab, child)

    def types() -> list[str | int | None]:
        return [json.loads(line)["type"] for line in child.lines()]

    def pinged() -> bool:
        lab.run(lab.left, ["ping", "-q", "-c", "1", "10.77.2.2"])
        return "new" in types()

    wait_for(pinged, 20, "a new flow")
    python(lab, lab.left, SEND.format(family="socket.AF_INET", size=9, to="10.77.2.2", port=9300))
    lab.run(lab.gw, ["conntrack", "-D", "-p", "icmp"])
    wait_for(lambda: "destroy" in types(), 20, "its end")
    status, told, errors = ended(child, signal.SIGINT)
    assert status == 0
    assert {one["protocol"] for one in told} == {1}
    (last, *_) = [one for one in told if one["type"] == "destroy"]
    assert (last["sent_bytes"], last["received_bytes"], last["sent_packets"]) == (84, 84, 1)
    assert isinstance(last["portid"], int)
    assert re.search(rf"netledger: {len(told)} events$", errors.strip())


def _netlink(lab: Lab, child: Child) -> str:
    """The netlink sockets of a process that listen to the kernel's groups."""
    table = lab.run(lab.gw, ["cat", "/proc/net/netlink"])
    lines = [line.split() for line in table.splitlines()[1:]]
    return "NETLINK_NETFILTER" if any(one[1] == "12" and int(one[3], 16) & 7 for one in lines) and child.running else ""


def test_what_finds_no_room_while_it_does_not_read_is_told_in_the_stream() -> None:
    with Pair() as pair:
        pair.nft(pair.a, LOCAL)
        switch(pair.a, pair.run, nf_conntrack_acct=1, nf_conntrack_events=1)
        with pair.inside(pair.a):
            none_ends_by_itself()
        child = pair.spawn(pair.a, [*NETLEDGER, "flows", "--follow", "--json"])

        def new() -> int:
            return child.output().count('"new"')

        def heard() -> bool:
            pair.run(pair.b, ["ping", "-q", "-c", "1", "10.77.1.1"])
            return new() > 0

        wait_for(heard, 20, "the first event")
        child.signal(signal.SIGSTOP)
        senders.udp(pair, pair.b, STORM)
        count = int(pair.run(pair.a, ["conntrack", "-C"]))
        assert count > 50_000
        child.signal(signal.SIGCONT)
        wait_for(lambda: '"lost"' in child.output(), 60, "the loss")

        def later() -> bool:
            python(pair, pair.b, SEND.format(family="socket.AF_INET", size=9, to="10.77.1.1", port=8001))
            return "8001" in child.output()

        # All that was queued has been read when a flow that began later has been told of.
        wait_for(later, 60, "what came behind the storm")
        status, told, errors = ended(child, signal.SIGTERM)
    assert status == 3
    lost = [one for one in told if one["type"] == "lost"]
    assert all(isinstance(one["overruns"], int) and one["overruns"] > 0 for one in lost)
    assert sum(one["type"] == "new" for one in told) < count
    assert "lost" in errors.splitlines()[-1]


def test_looking_again_tells_how_quick_a_flow_is(lab: Lab) -> None:
    ping = lab.spawn(lab.left, ["ping", "-q", "-i", "0.05", "10.77.2.2"])
    child = lab.spawn(lab.gw, [*NETLEDGER, "flows", "--watch", "0.3", "--json"])

    def rates() -> list[int | None]:
        looks = [json.loads(line) for line in child.lines()]
        return [one["bytes_per_second"] for look in looks for one in look["flows"]]

    # 84 bytes each way, 20 times a second; where the machine is held up between two looks they tell of that.
    wait_for(lambda: any(1000 < (one or 0) < 7000 for one in rates()), 20, "the rate of the requests and their answers")
    ping.kill()
    child.signal(signal.SIGINT)
    assert child.wait() == 130
