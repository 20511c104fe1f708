"""What a meter is counted by: what was asked for, and what ``auto`` comes to."""

import logging

import pytest

from netledger.config import Meter
from netledger.config.sources import Nflog, NflogGroup
from netledger.daemon.choice import BEST, Chosen, choose
from netledger.daemon.logs import KeyValueFormatter
from tests.unit.memory_source import no_bpf


def allowed(_meter: Meter) -> None:
    """A probe where all is well."""


def never(_meter: Meter) -> None:
    """A probe that must not be asked."""
    raise AssertionError


@pytest.mark.parametrize("source", ["bpf", "nflog", "packet", "conntrack", "nfacct"])
def test_a_source_that_is_named_is_taken_without_looking(source: str) -> None:
    meter = Meter.model_validate({"source": source})
    assert choose(meter, never) == Chosen(meter.mechanisms[0])


def test_auto_is_bpf_where_that_can_be() -> None:
    assert choose(Meter(), allowed) == Chosen("bpf", BEST)


def test_auto_is_nflog_where_bpf_cannot_be_and_says_why_and_what_it_takes() -> None:
    why = "bpf cannot be used: bpf: load the program: operation not permitted"
    assert choose(Meter(), no_bpf) == Chosen("nflog", why, "give it CAP_BPF")


@pytest.mark.parametrize(
    ("meter", "why", "better"),
    [
        (Meter(key=("host", "label")), "its key has label, which only a rule of netfilter gives", "label"),
        (Meter(nflog=Nflog(groups=(NflogGroup(group=4, account="both"),))), "it has given NFLOG groups", "groups"),
    ],
)
def test_what_only_rules_can_do_is_nflog_wherever_it_runs(meter: Meter, why: str, better: str) -> None:
    chosen = choose(meter, never)
    assert (chosen.mechanism, chosen.why) == ("nflog", why)
    assert chosen.better is not None
    assert better in chosen.better


def test_what_auto_came_to_is_one_line_and_what_was_asked_for_is_none(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "netledger"):
        choose(Meter(), no_bpf).say("lan")
        choose(Meter(source="nflog"), never).say("lan")
    (record,) = caplog.records
    assert KeyValueFormatter().format(record) == (
        "level=info meter=lan event=source_chosen source=nflog "
        'why="bpf cannot be used: bpf: load the program: operation not permitted" for_bpf="give it CAP_BPF"'
    )
