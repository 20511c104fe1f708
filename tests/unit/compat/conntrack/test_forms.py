"""The lines that were recorded: from one form of them all the others come out."""

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from netledger.compat.conntrack.lines import TAGS, flow_line
from netledger.compat.conntrack.request import Output
from netledger.compat.conntrack.save import flow_command
from netledger.compat.conntrack.xml import flow_element
from netledger.conntrack import EventKind, Flow, Status
from tests.unit.compat.conntrack.recorded import commands, events, flow_of

LISTED = "01-list-get-delete-zero.txt"
# While all eight flows were there.
BY_WORDS = {command.words: command for command in commands(LISTED) if len(command.output) >= 8}
ALL = BY_WORDS["-L", "-o", "extended,id,timestamp,ktimestamp"]
KINDS = {tag.strip(): kind for kind, tag in TAGS.items()}


def _even(line: str) -> str:
    """Without times, which passed from one command to the next, and are not in each form."""
    line = re.sub(r"^((?:ipv[46] +\d+ )?\w+ +\d+ )\d+ ", r"\1", line)
    line = re.sub(r" delta-time=\d+| \[(?:start|stop)=[^]]*\]|<deltatime>\d+</deltatime>", "", line)
    return re.sub(r"<timeout>\d+</timeout>|(?<=^-[AUD]) -t \d+|<timestamp>.*</timestamp>|<when>.*</when>", "", line)


def _flows() -> list[Flow]:
    return [flow_of(line) for line in ALL.output]


@pytest.mark.parametrize(
    ("words", "output"),
    [
        (("-L",), Output.LINE),
        (("-L", "-o", "extended"), Output.EXTENDED),
        (("-L", "-o", "id"), Output.ID),
        (("-L", "-o", "extended,id,timestamp,ktimestamp"), Output.EXTENDED | Output.ID),
    ],
)
def test_lines_are_those_that_were_recorded(words: tuple[str, ...], output: Output) -> None:
    recorded = BY_WORDS[words].output
    shown = [flow_line(flow, output, None, 0) for flow in _flows()]
    assert len(recorded) == 8
    assert [_even(line) for line in shown] == [_even(line) for line in recorded]


def test_xml_is_that_which_was_recorded() -> None:
    *_, recorded_end = recorded = BY_WORDS["-L", "-o", "xml"].output
    shown = [flow_element(flow, Output.XML, None, 0, None, strict=True) for flow in _flows()]
    assert [_even(line) for line in shown] == [_even(line) for line in recorded[2:-1]]
    assert (recorded[1], recorded_end) == ("<conntrack>", "</conntrack>")


def test_saved_flows_are_those_that_were_recorded() -> None:
    recorded = BY_WORDS["-L", "-o", "save"].output
    assert [_even(flow_command(flow, EventKind.NEW)) for flow in _flows()] == [_even(line) for line in recorded]


def test_events_are_those_that_were_recorded() -> None:
    plain, ids, elements, saved = (events(variant) for variant in ("plain", "all", "xmlplain", "save"))
    assert len(plain) == 19
    for line, with_id, element, command in zip(plain, ids, elements[2:-1], saved, strict=True):
        tag, _, text = line.strip().partition(" ")
        text = text.partition(" [USERSPACE]")[0]
        kind = KINDS[tag]
        number = re.findall(r" id=(\d{6,})", with_id)[0]
        flow = replace(flow_of(text), id=int(number))
        assert _even(flow_line(flow, Output.LINE, None, 0)) == _even(text)
        shown = flow_element(flow, Output.XML, None, 0, kind, strict=True)
        assert _even(shown) == _even(element.partition(" [USERSPACE]")[0])
        assert _even(flow_command(flow, kind)) == _even(command.partition(" [USERSPACE]")[0])


def test_what_the_old_xml_left_out_is_there() -> None:
    flow = next(flow for flow in _flows() if flow.original.protocol == 1)
    layer = ElementTree.fromstring(flow_element(flow, Output.XML, None, 0, None, strict=False)).find("meta/layer4")  # noqa: S314  # it is our own
    assert layer is not None
    assert {element.tag: element.text for element in layer} == {"type": "8", "code": "0", "id": "25357"}


def test_names_from_elsewhere_do_not_break_the_xml() -> None:
    flow = replace(_flows()[0], helper="a<b>&", secctx="u:r<t>")
    element = ElementTree.fromstring(flow_element(flow, Output.XML, None, 0, None, strict=False))  # noqa: S314  # it is our own
    assert element.findtext("helper") == "a<b>&"
    assert element.findtext("meta[@direction='independent']/secctx") == "u:r<t>"


def test_times_are_those_of_the_flow() -> None:
    flow = replace(_flows()[0], start_ns=1_795_186_873_553_693_490, stop_ns=1_795_186_875_000_000_000, use=None)
    line = flow_line(flow, Output.KERNEL_TIMESTAMP, None, 0)
    assert re.search(r"delta-time=2 \[start=Fri Nov 20 \d\d:01:13 2026\] \[stop=Fri Nov 20 \d\d:01:15 2026\]$", line)
    assert flow_line(replace(flow, stop_ns=None), Output.LINE, None, 1_795_186_880).endswith(" delta-time=7")


@pytest.mark.parametrize(
    ("status", "badge"),
    [
        (Status.ASSURED | Status.SEEN_REPLY, "[ASSURED]"),
        (Status.OFFLOAD | Status.ASSURED | Status.SEEN_REPLY, "[OFFLOAD]"),
        (Status.HW_OFFLOAD | Status.OFFLOAD | Status.SEEN_REPLY, "[HW_OFFLOAD]"),
    ],
)
def test_one_badge_tells_of_the_status(status: Status, badge: str) -> None:
    line = flow_line(replace(_flows()[0], status=status), Output.LINE, None, 0)
    assert re.findall(r"\[[A-Z_]+\]", line) == [badge]
