"""The switches of connection tracking: set while a meter counts, set back by the last one, also after a crash."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from netledger.errors import NotSupportedError, PermissionDeniedError
from netledger.sources import conntrack_switches
from netledger.sources.conntrack_switches import FOLDER, Switches, words
from tests.kernel.lab import Lab

NAMES = ("nf_conntrack_acct", "nf_conntrack_events", "nf_conntrack_timestamp")


@pytest.fixture
def machine(lab: Lab) -> Iterator[Lab]:
    """The calling thread in a namespace whose switches are not as a meter needs them."""
    with lab.inside(lab.left):
        write(acct="0", events="2", timestamp="0")
        yield lab


def write(**switches: str) -> None:
    for name, value in switches.items():
        (FOLDER / f"nf_conntrack_{name}").write_text(value)


def said() -> tuple[str, ...]:
    return tuple((FOLDER / name).read_text().strip() for name in NAMES)


def test_what_was_changed_is_said_and_set_back(machine: Lab) -> None:
    switches = Switches(machine.directory)
    changed = switches.open()
    assert said() == ("1", "1", "1")
    assert words(changed) == (
        "nf_conntrack_acct was 0 and is 1 now, nf_conntrack_events was 2 and is 1 now, "
        "nf_conntrack_timestamp was 0 and is 1 now"
    )
    assert switches.open() == {}
    switches.close(restore=True)
    switches.close(restore=True)
    assert said() == ("0", "2", "0")
    assert [path.name for path in machine.directory.glob("conntrack*.json")] == []


def test_what_was_on_before_stays_on(machine: Lab) -> None:
    write(acct="1", timestamp="1")
    switches = Switches(machine.directory)
    assert switches.open() == {"nf_conntrack_events": "2"}
    switches.close(restore=True)
    assert said() == ("1", "2", "1")


def test_the_last_of_several_meters_sets_them_back(machine: Lab) -> None:
    first, second = Switches(machine.directory), Switches(machine.directory)
    first.open()
    assert second.open() == {}
    first.close(restore=True)
    assert said() == ("1", "1", "1")
    second.close(restore=True)
    assert said() == ("0", "2", "0")


def test_the_stop_after_a_crash_sets_them_back(machine: Lab) -> None:
    died = Switches(machine.directory)
    died.open()
    died.close(restore=False)  # what the kernel does with the lock of a process that was killed
    following = Switches(machine.directory)
    assert following.open() == {}
    following.close(restore=True)
    assert said() == ("0", "2", "0")


def test_what_somebody_else_sets_meanwhile_is_set_again_and_what_was_first_is_what_comes_back(machine: Lab) -> None:
    switches = Switches(machine.directory)
    switches.open()
    write(acct="0", events="0")
    assert switches.open() == {"nf_conntrack_acct": "0", "nf_conntrack_events": "0"}
    assert said() == ("1", "1", "1")
    write(timestamp="0")
    switches.close(restore=True)
    assert said() == ("0", "2", "0")


def test_a_note_of_another_namespace_sets_nothing_back(machine: Lab) -> None:
    switches = Switches(machine.directory)
    switches.open()
    switches.close(restore=False)
    with machine.inside(machine.right):
        write(acct="1", events="1", timestamp="1")
        elsewhere = Switches(machine.directory)
        assert elsewhere.open() == {}
        elsewhere.close(restore=True)
        assert said() == ("1", "1", "1")


def test_a_damaged_note_is_no_reason_not_to_count(machine: Lab) -> None:
    (machine.directory / "conntrack-switches.json").write_text("{")
    switches = Switches(machine.directory)
    assert sorted(switches.open()) == sorted(NAMES)
    switches.close(restore=True)
    assert said() == ("0", "2", "0")


def test_a_kernel_without_connection_tracking_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotSupportedError, match="there is no nf_conntrack_acct, nf_conntrack_events"):
        Switches(tmp_path, tmp_path / "nothing").open()


def test_switches_that_cannot_be_written_are_told_with_the_command_that_sets_them(tmp_path: Path) -> None:
    # Attributes of the kernel that nobody may write, under the names of the switches.
    for name in NAMES:
        (tmp_path / name).symlink_to("/sys/class/net/lo/addr_len")
    with pytest.raises(PermissionDeniedError, match="nf_conntrack_acct") as caught:
        Switches(tmp_path / "run", tmp_path).open()
    assert caught.value.hint == f"once, as root: {conntrack_switches.settings()}"
    assert "net.netfilter.nf_conntrack_acct=1" in conntrack_switches.settings()
