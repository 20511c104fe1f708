"""Which command lines differ, and by what: from the words, the flows, and what the real program printed.

Each name has its row in docs/reference/compat-conntrack.md. Our output is never looked at here.
"""

import re
from collections.abc import Iterator

from tests.compat.conntrack.both import Printed
from tests.compat.conntrack.cases import Case
from tests.compat.conntrack.filters import has

_ICMP = re.compile(rb'protoname="icmp(?:v6)?"></layer4>')
_SCTP_STATE = re.compile(rb'protoname="sctp".*<state>')
_NUMBERS = (
    r"-w (?:abc|65543|-1)", r"-m (?:abc|5/x|/5|4294967301)", "-c x", "-i x", "--dport http", "--sport (?:65537|1x|x)",
    "--icmp-type 264", "--srckey x",
)  # fmt: skip
# Command lines that the real program takes in another way.
_OF_WORDS = {
    "strict-word": ("--strict-output",),
    "numbers": _NUMBERS,
    "not-here": ("-I", "-U", "-A", "-R x", "--create", "--load-file x"),
    "secmark": ("-L -c 5",),
    "timeout": ("-D -t 5", "-D -p tcp -t 5"),
    "attached": (
        r"-[LCDF](?!conntrack)[a-z]\S*",
        r"--dump=\w+",
        r"-[ngj]10\S*",
        r"-L --(?:src|dst|any)-nat=\S+.*",
        r"-D --(?:src|dst)-nat=\S+.*",
    ),
    "unknown-word": ("-Qz",),
    "sctp-state": ("-p sctp --state X",),
    "zero": ("-L (?:dying|unconfirmed) -z(?: .*)?",),
    "get-vtag": ("-G .*--orig-vtag 8(?: -o .*)?$",),
    "no-command": ("^--reply-zone 1$",),
}
_IPV6 = r"\[?fd[0-9a-f:]+\]?(?::\d+)?"


def names(case: Case, real: Printed) -> set[str]:
    """The names of all differences that the real program's output leads one to expect; none where both do the same."""
    words, output = case.words, real.output
    found = {name for name, patterns in _OF_WORDS.items() if has(words, *patterns)}
    if case.strict:
        found.discard("attached")
    found = found or set(_of_filters(case.space, words)) or set(_of_answers(words, real.errors))
    if case.as_nobody and has(words, "-C", "-F", "-S"):
        found.add("unprivileged")
    # A command that was refused has looked for no flows.
    if re.search(r"-(?:o|-out) (?:x|\S*xml)", words) and not case.strict and not found and b"have been" in real.errors:
        found.update(_of_xml(words, output))
    return found


def _of_filters(space: str, words: str) -> Iterator[str]:
    """Filters that the real program reads wrongly, where there are flows to see it by."""
    if has(words, "-D .*-u (?:UNREPLIED|!\\S+|UNSET|SRC_NAT|ASSURED,!SEEN_REPLY)", "-L .*-u (?:seen,!a)"):
        yield "status"
    elif space == "made" and has(words, "-F -f ipv[46]"):
        yield "flush-family"
    elif (space == "made" and has(words, "-p gre --(?:srckey 5|dstkey 0|reply-key-src 0|reply-key-dst 7)")) or (
        space == "traffic" and has(words, "-p gre --(?:srckey 5|reply-key-dst 7)")
    ):
        yield "gre-keys"
    elif has(words, "-[ngj] fd00::98", "-[ngj] fd77:2::9") or (space == "traffic" and has(words, f"-[ngj] {_IPV6}")):
        yield "nat-ipv6"
    elif has(words, "-L -j 10.0.0.99 -p udp"):
        yield "nat-any"
    elif space == "traffic" and _is_about_icmp(words):
        yield "nat-icmp"


def _of_answers(words: str, errors: bytes) -> Iterator[str]:
    """What the real program answers, and need not."""
    if has(words, "-G .*") and errors.endswith(b"Operation failed: invalid parameters\n"):
        if not has(words, r"-G .*-q \S+ --(?:sport|orig-key)\S* .*"):
            yield "get-reply"
    elif has(words, r"-G .*-s \S+ -d \S+ --reply-\S+ .*") and b"Operation failed: " in errors:
        yield "get-mixed"
    if b"expectation table has been emptied" in errors:
        yield "not-here"


def _is_about_icmp(words: str) -> bool:
    """Whether translated flows are asked for in a way that pings are among them."""
    return re.fullmatch(r"-L(?: -p icmp| -f ipv6)? -[ngj](?: -g)?(?: -o \S+)?", words) is not None


def _of_xml(words: str, output: bytes) -> Iterator[str]:
    if not output:
        yield "xml-empty"
        return
    if has(words, "-[GD].*"):
        yield "xml-document"
    if _ICMP.search(output):
        yield "xml-icmp"
    if _SCTP_STATE.search(output):
        yield "xml-state"


def as_old(output: bytes, words: str) -> bytes:
    """Our XML with what is new in it taken out again."""
    text = re.sub(rb"(<layer4 [^>]*>)<type>\d+</type><code>\d+</code><id>\d+</id>", rb"\1", output)
    text = re.sub(rb'(protoname="sctp".*)<state>ESTABLISHED</state>', rb"\1<state>FIN_WAIT</state>", text)
    start, _, rest = text.partition(b"?>\n")
    flows = rest.splitlines(keepends=True)
    if start and len(flows) == 2:
        return b""
    if has(words, "-D.*"):
        return b"".join(flows[1:-1])
    return text.removesuffix(b"</conntrack>\n") if has(words, "-G.*") else text
