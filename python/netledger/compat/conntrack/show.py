"""Shows flows one after the other in the form that was asked for."""

from typing import final

from netledger.compat.conntrack.commands import Command
from netledger.compat.conntrack.lines import TAGS, flow_line
from netledger.compat.conntrack.request import Output, Request
from netledger.compat.conntrack.save import flow_command
from netledger.compat.conntrack.streams import Streams
from netledger.compat.conntrack.xml import XML_END, XML_START, flow_element
from netledger.conntrack import EventKind, Flow
from netledger.intervals import SECOND_NS, Clock

__all__ = ["Show"]


@final
class Show:
    """Writes flows to standard output, and knows how many there were.

    Attributes:
        shown: how many.
    """

    def __init__(self, request: Request, streams: Streams, clock: Clock) -> None:
        self._streams = streams
        self._clock = clock
        self._command = request.command
        self._output = request.output
        self._names = request.label_names
        self._strict = request.strict
        if request.command is Command.DELETE:
            # What is deleted is shown without them.
            self._output &= ~Output.KERNEL_TIMESTAMP
            self._names = None
        self._is_save = Output.SAVE in self._output
        self._is_xml = Output.XML in self._output
        self._started = False
        self.shown = 0

    def flow(self, flow: Flow) -> None:
        """A flow of a table.

        Raises:
            BrokenPipeError, Refusal: as ``Streams.out``.
        """
        kind = EventKind.DESTROY if self._command is Command.DELETE else EventKind.NEW
        self._start()
        self._streams.out(self._text(flow, None, kind) + "\n")
        self.shown += 1

    def event(self, kind: EventKind, flow: Flow, cause: str) -> None:
        """An event; ``cause`` is what stands behind it. Written at once.

        Raises:
            BrokenPipeError, Refusal: as ``Streams.out``.
        """
        self._start()
        text = self._text(flow, kind, kind)
        if not self._output & (Output.XML | Output.SAVE):
            text = TAGS[kind] + text
            if Output.TIMESTAMP in self._output:
                text = self._stamp(flow) + text
        self._streams.out(f"{text}{cause}\n")
        self._streams.flush()
        self.shown += 1

    def end(self) -> None:
        """What belongs behind the last flow.

        Raises:
            BrokenPipeError, Refusal: as ``Streams.out``.
        """
        if Output.XML in self._output:
            if not self._strict:
                self._start()
                self._streams.out(XML_END)
            # The old program began a document only for a flow, and ended it only for these two.
            elif self._started and self._command in (Command.LIST, Command.EVENT):
                self._streams.out(XML_END)
        self._streams.flush()

    def _start(self) -> None:
        if self._started:
            return
        self._started = True
        if Output.XML in self._output and not (self._strict and self._command is Command.DELETE):
            self._streams.out(XML_START)

    def _text(self, flow: Flow, event: EventKind | None, kind: EventKind) -> str:
        if self._is_save:
            return flow_command(flow, kind)
        now_seconds = self._clock.now().wall_ns // SECOND_NS
        if self._is_xml:
            return flow_element(flow, self._output, self._names, now_seconds, event, strict=self._strict)
        return flow_line(flow, self._output, self._names, now_seconds)

    def _stamp(self, flow: Flow) -> str:
        """When it happened, by the kernel; older ones do not say it, and then it is now."""
        wall_ns = self._clock.now().wall_ns if flow.event_ns is None else flow.event_ns
        return f"[{wall_ns // SECOND_NS:08}.{wall_ns % SECOND_NS // 1000:06}]\t"
