"""What ``wg`` prints, and what it may print: peers with their addresses, or nothing that is believed."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netledger.errors import LearnerError
from netledger.intervals import SystemClock
from netledger.learners.base import Stop
from netledger.learners.wireguard import WireguardLearner
from tests.unit.recorder import Kept, running
from tests.unit.rows import wait_until

KEY, OTHER = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=", "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0="


def learner(*command: str, interfaces: tuple[str, ...] = ()) -> WireguardLearner:
    return WireguardLearner(
        "vpn", interfaces=interfaces, names={KEY: "alice"}, every_seconds=1, clock=SystemClock(), command=command
    )


def printing(text: str) -> tuple[str, ...]:
    return ("printf", "%s", text)


def learnt(directory: Path, text: str, **options: tuple[str, ...]) -> tuple[dict[str, str | None], int]:
    """What one look comes to, and how much was refused."""
    record = Kept(directory / "store", SystemClock())
    one = learner(*printing(text), **options)
    with running(one, record):
        wait_until(lambda: one.status().state == "following", "look")
    return record.now(), one.status().refused


def test_peers_have_what_is_allowed_to_them(tmp_path: Path) -> None:
    text = f"wg0\t{KEY}\t10.9.0.2/32 fd09::/64\nwg0\t{OTHER}\t(none)\nwg1\t{OTHER}\t10.9.1.0/24 0.0.0.0/0 ::/0\n"
    assert learnt(tmp_path, text) == ({"10.9.0.2": "alice", "fd09::/64": "alice", "10.9.1.0/24": OTHER}, 0)


def test_only_chosen_interfaces_are_looked_at(tmp_path: Path) -> None:
    text = f"wg0\t{KEY}\t10.9.0.2/32\nwg1\t{OTHER}\t10.9.1.2/32\n"
    assert learnt(tmp_path, text, interfaces=("wg1",)) == ({"10.9.1.2": OTHER}, 0)


def test_of_two_interfaces_with_one_address_the_first_has_it(tmp_path: Path) -> None:
    text = f"wg0\t{KEY}\t10.9.0.2/32\nwg1\t{OTHER}\t10.9.0.2/32\n"
    assert learnt(tmp_path, text) == ({"10.9.0.2": "alice"}, 1)


def test_what_is_no_line_of_wg_is_refused_and_the_rest_is_learnt(tmp_path: Path) -> None:
    text = f"garbage\nwg0\t{OTHER}\tnonsense 10.9.0.3/32\nwg0\t \t10.9.0.9/32\n"
    assert learnt(tmp_path, text) == ({"10.9.0.3": OTHER}, 3)


@pytest.mark.parametrize(
    ("command", "cause"),
    [
        (("/no/such/wg",), "not installed"),
        (("sh", "-c", "echo Unable to access interface >&2; exit 1"), "Unable to access interface"),
        (("sh", "-c", f"echo 'wg0\t{KEY}\t10.9.0.2/32'; echo half of it >&2"), "half of it"),
        (("sh", "-c", "exit 3"), "exit code 3"),
    ],
)
def test_what_wg_cannot_tell_is_an_error_and_changes_nothing(
    tmp_path: Path, command: tuple[str, ...], cause: str
) -> None:
    record = Kept(tmp_path / "store", SystemClock())
    one = learner(*printing(f"wg0\t{KEY}\t10.9.0.2/32\n"))
    with running(one, record):
        wait_until(lambda: bool(record.now()), "look")
    stop = Stop()
    with pytest.raises(LearnerError, match=cause):
        learner(*command).run(record, stop)
    stop.close()
    assert record.now() == {"10.9.0.2": "alice"}


@given(st.text(alphabet="wg0\t \n./:123abf=(none)é\x00\x1b", max_size=80))
def test_any_text_is_peers_or_refused(text: str) -> None:
    one = learner("true")
    for target, holder in one._read(text).items():
        assert target.value
        assert holder.subject
