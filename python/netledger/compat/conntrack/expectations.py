"""Shows what helpers expect: flows that are to come."""

from typing import Final, final
from xml.sax.saxutils import escape

from netledger.compat.conntrack.lines import FAMILY_NAMES, ports_of
from netledger.compat.conntrack.protocols import name_of
from netledger.compat.conntrack.request import Output, Request
from netledger.compat.conntrack.streams import Streams
from netledger.compat.conntrack.xml import ports_element, when_element
from netledger.conntrack import Direction, Expectation
from netledger.intervals import SECOND_NS, Clock

__all__ = ["ExpectationShow"]

_XML_START: Final = '<?xml version="1.0" encoding="utf-8"?>\n<expect>\n'
_XML_END: Final = "</expect>\n"
_FLAGS: Final = ((1, "permanent"), (2, "inactive"), (4, "userspace"))


@final
class ExpectationShow:
    """Writes expectations to standard output, and knows how many there were.

    Attributes:
        shown: how many.
    """

    def __init__(self, request: Request, streams: Streams, clock: Clock) -> None:
        self._output = request.output
        self._strict = request.strict
        self._streams = streams
        self._clock = clock
        self.shown = 0

    def expectation(self, expectation: Expectation) -> None:
        """One of them.

        Raises:
            BrokenPipeError, Refusal: as ``Streams.out``.
        """
        self._start()
        self._streams.out(self._text(expectation) + "\n")
        self.shown += 1

    def end(self) -> None:
        """What belongs behind the last one.

        Raises:
            BrokenPipeError, Refusal: as ``Streams.out``.
        """
        if Output.XML in self._output and (self.shown or not self._strict):
            self._start()
            self._streams.out(_XML_END)
        self._streams.flush()

    def _start(self) -> None:
        if Output.XML in self._output and not self.shown:
            self._streams.out(_XML_START)

    def _text(self, expectation: Expectation) -> str:
        wall_ns = self._clock.now().wall_ns
        if Output.XML in self._output:
            when = when_element(wall_ns // SECOND_NS) if Output.TIMESTAMP in self._output else ""
            return _element(expectation, when, strict=self._strict)
        stamp = f"[{wall_ns // SECOND_NS:08}.{wall_ns % SECOND_NS // 1000:06}]\t"
        return (stamp if Output.TIMESTAMP in self._output else "") + _line(expectation)


def _line(expectation: Expectation) -> str:
    expected = expectation.expected
    parts = [
        f"{expectation.timeout_seconds or 0} proto={expected.protocol}",
        *(
            f"{prefix}src={direction.source} {prefix}dst={direction.destination}{ports_of(direction)}"
            for prefix, direction in (("", expected), ("mask-", expectation.mask), ("master-", expectation.master))
        ),
    ]
    if expectation.zone is not None:
        parts.append(f"zone={expectation.zone}")
    details = [name.upper() for bit, name in _FLAGS if (expectation.flags or 0) & bit]
    if details:
        parts.append(",".join(details))
    if expectation.expectation_class is not None:
        parts.append(f"class={expectation.expectation_class}")
    if expectation.helper is not None:
        parts.append(f"helper={expectation.helper}")
    return " ".join(parts)


def _element(expectation: Expectation, when: str, *, strict: bool) -> str:
    family, protocol = expectation.family, expectation.expected.protocol
    tuples = (("expected", expectation.expected), ("mask", expectation.mask), ("master", expectation.master))
    ends = "".join(f"<{name}>{_ends(direction)}</{name}>" for name, direction in tuples)
    ports = "".join(f"<{name}>{ports_element(direction, strict=strict)}</{name}>" for name, direction in tuples)
    return (
        f'<flow><layer3 protonum="{family.value}" protoname="{FAMILY_NAMES[family]}">{ends}</layer3>'
        f'<layer4 protonum="{protocol}" protoname="{name_of(protocol)}">{ports}</layer4>'
        f"<meta>{_meta(expectation, when, strict=strict)}</meta></flow>"
    )


def _ends(direction: Direction) -> str:
    return f"<src>{direction.source}</src><dst>{direction.destination}</dst>"


def _meta(expectation: Expectation, when: str, *, strict: bool) -> str:
    parts = []
    if expectation.helper is not None:
        helper = expectation.helper if strict else escape(expectation.helper)
        parts.append(f"<helper-name>{helper}</helper-name>")
    for tag, value in (
        ("timeout", expectation.timeout_seconds),
        ("class", expectation.expectation_class),
        ("zone", expectation.zone),
    ):
        if value is not None:
            parts.append(f"<{tag}>{value}</{tag}>")
    parts.append(when)
    parts += [f"<{name}/>" for bit, name in _FLAGS if (expectation.flags or 0) & bit]
    return "".join(parts)
