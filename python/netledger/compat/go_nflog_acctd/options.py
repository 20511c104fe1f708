"""The command line of go-nflog-acctd as one frozen :class:`Options`."""

from collections.abc import Sequence
from dataclasses import dataclass

from netledger.compat.go_nflog_acctd.duration import DAY_NS, SECOND_NS, duration_text
from netledger.compat.go_nflog_acctd.flags import Flag, Parsed, defaults_text, parse_flags

__all__ = ["FLAGS", "Group", "Options", "parse_options", "problem_of", "usage_text"]

_GROUP_MAX = 65535

FLAGS = (
    Flag("ip4-dst-group", "int", 0, "NFLog Group to read IPv4 packets and account the destination address"),
    Flag("ip4-src-group", "int", 0, "NFLog Group to read IPv4 packets and account the source address"),
    Flag("ip6-dst-group", "int", 0, "NFLog Group to read IPv6 packets and account the destination address"),
    Flag("ip6-src-group", "int", 0, "NFLog Group to read IPv6 packets and account the source address"),
    Flag("ip4-prefix-length", "int", 32, "Size of the IPv4 prefix to account to, default is /32"),
    Flag("ip6-prefix-length", "int", 64, "Size of the IPv6 prefix to account to, default is /64"),
    Flag("interval", "duration", 300 * SECOND_NS, "Interval to log stats"),
    Flag("log-directory", "string", "/var/log/accounting", "Directory to write accounting files to."),
    Flag("cpus", "int", 0, "Number of CPUs to use - default 0 is all of them"),
    Flag("syslog", "bool", default=False, usage="Use Syslog for logging"),
    Flag("verbose", "bool", default=False, usage="Print more logging stuff"),
    Flag("debug", "bool", default=False, usage="Print every single packet that arrives"),
    Flag("priority", "int", -19, "Set priority level"),
    Flag("cpuprofile", "string", "", "Write cpu profile to file"),
    Flag("memprofile", "string", "", "write memory profile to this file"),
    # The usage stays that of the old program, to the byte; what is new here is in the reference.
    Flag("strict-bytes", "bool", default=False, usage="Count IPv6 without its 40-byte header", hidden=True),
    Flag("runtime-directory", "string", "", "Directory for what is being counted", hidden=True),
)
# Go's tuning: there is no Go runtime here to tune.
_WITHOUT_EFFECT = ("cpus", "cpuprofile", "memprofile")


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One NFLOG group that was asked for. ``number`` above 65535 is possible until :func:`problem_of` has looked."""

    flag: str
    number: int
    ip_version: int
    is_source: bool
    prefix_length: int

    @property
    def header_bytes(self) -> int:
        """The fixed IP header: what the old program had copied of each packet."""
        return 20 if self.ip_version == 4 else 40  # noqa: PLR2004 - IP versions are numbers by name


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line asks for. ``debug`` implies ``verbose``; groups are in the order of their opening."""

    groups: tuple[Group, ...]
    ipv4_prefix_length: int
    ipv6_prefix_length: int
    interval_ns: int
    log_directory: str
    runtime_directory: str
    syslog: bool
    verbose: bool
    debug: bool
    priority: int
    strict_bytes: bool
    without_effect: tuple[str, ...]


def parse_options(words: Sequence[str]) -> Options:
    """Reads the command line behind the program's name.

    Raises:
        FlagError, HelpAsked: see :func:`parse_flags`.
    """
    parsed = parse_flags(FLAGS, words)
    defaults = {flag.name: flag.default for flag in FLAGS}
    debug = parsed.boolean("debug")
    return Options(
        groups=_groups(parsed),
        ipv4_prefix_length=parsed.integer("ip4-prefix-length"),
        ipv6_prefix_length=parsed.integer("ip6-prefix-length"),
        interval_ns=parsed.integer("interval"),
        log_directory=parsed.string("log-directory"),
        runtime_directory=parsed.string("runtime-directory"),
        syslog=parsed.boolean("syslog"),
        verbose=debug or parsed.boolean("verbose"),
        debug=debug,
        priority=parsed.integer("priority"),
        strict_bytes=parsed.boolean("strict-bytes"),
        without_effect=tuple(name for name in _WITHOUT_EFFECT if parsed.values[name] != defaults[name]),
    )


def _groups(parsed: Parsed) -> tuple[Group, ...]:
    groups = (
        Group(
            flag=flag,
            number=parsed.integer(flag),
            ip_version=ip_version,
            is_source=is_source,
            prefix_length=parsed.integer(f"ip{ip_version}-prefix-length"),
        )
        for flag, ip_version, is_source in (
            ("ip4-dst-group", 4, False),
            ("ip4-src-group", 4, True),
            ("ip6-dst-group", 6, False),
            ("ip6-src-group", 6, True),
        )
    )
    return tuple(group for group in groups if group.number > 0)


def problem_of(options: Options) -> str | None:
    """Why the program ends before it has touched anything, in one line; None when it may go on."""
    interval = duration_text(options.interval_ns)
    if options.interval_ns < SECOND_NS:
        return "Interval must be >= 1 Second"
    if options.interval_ns >= DAY_NS and options.interval_ns % DAY_NS:
        return f"Interval {interval} isn't a whole number of days"
    if options.interval_ns < DAY_NS and DAY_NS % options.interval_ns:
        return f"Interval {interval} doesn't divide a day exactly"
    for ip_version, length in ((4, options.ipv4_prefix_length), (6, options.ipv6_prefix_length)):
        if length < 0:
            return f"Prefix length {length} of -ip{ip_version}-prefix-length must be >= 0"
    for group in options.groups:
        if group.number > _GROUP_MAX:
            return f"Group {group.number} of -{group.flag} must be <= {_GROUP_MAX}"
    return None


def usage_text(program: str) -> str:
    """The usage, as the old program prints it on standard error."""
    return f"{program} ver 0.1\n\nUsage: {program} [flags]\n\nflags:\n\n{defaults_text(FLAGS)}\n"
