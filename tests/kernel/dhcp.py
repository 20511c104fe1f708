"""DHCP servers of Debian on one side of a wire, a real client on the other."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from tests.kernel.lab import Child, Network, wait_for

SERVER_SECONDS = 20.0
CLIENT_SECONDS = 90.0
DEVICE = "02:77:00:00:01:02"


class Wire(Network):
    """A server 10.77.1.1, fd77:1::1 (interface ``wire``), and a client that has no address yet (``uplink``)."""

    def _wire(self) -> None:
        self.server, self.client = self.namespace("server"), self.namespace("client")
        self.join(self.server, "wire", self.client, 1)
        self.run(self.client, ["ip", "address", "flush", "dev", "uplink"])
        # The lab makes none by itself, and DHCPv6 is spoken from one such address to another.
        for space, device, end in ((self.server, "wire", 1), (self.client, "uplink", 2)):
            self.run(space, ["ip", "address", "add", f"fe80::{end}/64", "dev", device, "nodad"])
        self.run(self.client, ["ip", "route", "add", "default", "dev", "uplink"])


@dataclass
class Server:
    """One that runs, and the file that it writes leases of IPv4 or IPv6 into."""

    child: Child
    leases: Path

    def is_ready(self, log: Path, words: str) -> bool:
        assert self.child.running, self.child.errors() + self.child.output()
        return log.exists() and words in log.read_text(errors="replace")


def dnsmasq(net: Wire, seconds: int) -> Server:
    """Both families in one file."""
    leases, log = net.directory / "dnsmasq.leases", net.directory / "dnsmasq.log"
    argv = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--user=root", "--bind-interfaces"]
    argv += ["--interface=wire", "--dhcp-authoritative", "--no-ping", f"--log-facility={log}", f"--pid-file={log}.pid"]
    argv += [f"--dhcp-leasefile={leases}", f"--dhcp-range=10.77.1.100,10.77.1.150,{seconds}"]
    argv += [f"--dhcp-range=fd77:1::100,fd77:1::200,64,{seconds}"]
    server = Server(net.spawn(net.server, argv), leases)
    wait_for(lambda: server.is_ready(log, "sockets bound"), SERVER_SECONDS, "dnsmasq")
    return server


def isc(net: Wire, seconds: int, *, family: int) -> Server:
    """ISC dhcpd, one process for each family."""
    subnet = {
        4: "subnet 10.77.1.0 netmask 255.255.255.0 { range 10.77.1.100 10.77.1.150; }",
        6: "subnet6 fd77:1::/64 { range6 fd77:1::100 fd77:1::200; prefix6 fd77:2:: fd77:2:0:ff00:: /56; }",
    }[family]
    times = f"min-lease-time {seconds}; default-lease-time {seconds}; max-lease-time {seconds};"
    settings, leases = net.directory / f"dhcpd{family}.conf", net.directory / f"dhcpd{family}.leases"
    settings.write_text(f"authoritative; ping-check false; preferred-lifetime {seconds}; {times}\n{subnet}\n")
    leases.touch()
    argv = ["dhcpd", f"-{family}", "-f", "--no-pid", "-cf", str(settings), "-lf", str(leases), "wire"]
    server = Server(net.spawn(net.server, argv), leases)
    wait_for(lambda: server.is_ready(server.child.standard_error, "Listening on"), SERVER_SECONDS, "dhcpd")
    return server


def kea(net: Wire, seconds: int, *, family: int, lfc_seconds: int = 0) -> Server:
    """Kea, one process for each family."""
    leases, log = net.directory / f"kea-leases{family}.csv", net.directory / f"kea{family}.log"
    database = {"type": "memfile", "persist": True, "name": str(leases), "lfc-interval": lfc_seconds}
    subnet: dict[str, object] = {"id": 1, "subnet": "10.77.1.0/24", "pools": [{"pool": "10.77.1.100 - 10.77.1.150"}]}
    own: dict[str, object] = {"match-client-id": True}
    if family == 6:
        subnet = {
            "id": 1,
            "subnet": "fd77:1::/64",
            "interface": "wire",
            "pools": [{"pool": "fd77:1::100 - fd77:1::200"}],
        }
        subnet |= {"pd-pools": [{"prefix": "fd77:2::", "prefix-len": 48, "delegated-len": 56}]}
        own = {"server-id": {"type": "LLT", "persist": False}, "preferred-lifetime": seconds}
    logger = {"name": f"kea-dhcp{family}", "severity": "INFO", "output_options": [{"output": str(log)}]}
    server_settings = {
        "interfaces-config": {"interfaces": ["wire"]},
        "lease-database": database,
        "valid-lifetime": seconds,
        f"subnet{family}": [subnet],
        "loggers": [logger],
        **own,
    }
    settings = net.directory / f"kea{family}.conf"
    settings.write_text(json.dumps({f"Dhcp{family}": server_settings}))
    places = [f"KEA_PIDFILE_DIR={net.directory}", f"KEA_LOCKFILE_DIR={net.directory}"]
    server = Server(net.spawn(net.server, ["env", *places, f"kea-dhcp{family}", "-c", str(settings)]), leases)
    wait_for(lambda: server.is_ready(log, f"DHCP{family}_STARTED"), SERVER_SECONDS, "kea")
    return server


@dataclass
class Client:
    """dhclient, which asks, and takes the address that it is given on the interface."""

    net: Wire
    family: int
    name: str = "laptop"

    def ask(self) -> None:
        """Until it has a lease."""
        script = self.net.directory / "script"
        script.write_text(
            "#!/bin/sh\n"
            '[ -z "$new_ip_address" ] || ip address replace "$new_ip_address/24" dev "$interface"\n'
            '[ -z "$new_ip6_address" ] || ip address replace "$new_ip6_address/64" dev "$interface" nodad\n'
        )
        script.chmod(0o755)
        (self.net.directory / f"{self.name}.conf").write_text(f'send host-name "{self.name}";\n')
        self.net.run(self.net.client, self._argv("-1"), seconds=CLIENT_SECONDS)

    def release(self) -> None:
        """Gives it back, and ends."""
        self.net.run(self.net.client, self._argv("-r"), seconds=CLIENT_SECONDS)

    def vanish(self) -> None:
        """Ends without a word."""
        pid = int(self._files()[1].read_text())
        os.kill(pid, 9)
        wait_for(lambda: not Path("/proc", str(pid)).exists(), CLIENT_SECONDS, "end of the client")

    def _files(self) -> tuple[Path, Path]:
        stem = self.net.directory / f"{self.name}{self.family}"
        return stem.with_suffix(".leases"), stem.with_suffix(".pid")

    def _argv(self, what: str) -> list[str]:
        leases, pid = self._files()
        both = ["-N", "-P"] if self.family == 6 else []
        settings = ["-sf", str(self.net.directory / "script"), "-cf", str(self.net.directory / f"{self.name}.conf")]
        return ["dhclient", f"-{self.family}", what, *both, *settings, "-lf", str(leases), "-pf", str(pid), "uplink"]
