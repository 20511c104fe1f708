"""One run of the daemon, with packets and time that the test tells of."""

import signal
from pathlib import Path

import pytest

from netledger.compat.nacctd.accounting import records_of
from netledger.compat.nacctd.counting import NO_FLOW, Counted
from netledger.compat.nacctd.records import Flow
from netledger.intervals import Moment
from tests.unit.compat.nacctd.day import CLIENT, Day, S, row
from tests.unit.compat.nacctd.quiet import table_in

TERM = int(signal.SIGTERM)


def test_at_the_end_everything_is_written_at_once_and_no_dump_stays(tmp_path: Path) -> None:
    day = Day(tmp_path, "flush 1000\nfdelay 1000\n")
    count = day.counting.count
    assert day.run([(0.2, lambda: count(row(1, 3))), (3, lambda: count(row(1, 2), row(2))), (5, TERM)]) == TERM
    assert day.lines() == [
        (5, Flow(17, 0x0A320001, port, CLIENT, 9000, "ppp0", None), n) for port, n in ((1, 5), (2, 1))
    ]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["debug", "holders.json", "log"]
    assert all(each.is_released for each in day.counting.all)


def test_a_record_is_written_when_nothing_came_for_longer_than_fdelay(tmp_path: Path) -> None:
    """As recorded of the old program: flush 2, fdelay 2, one flow always active and one for two seconds."""
    day = Day(tmp_path, "flush 2\nfdelay 2\n")
    count = day.counting.count
    active = [(second + 0.1, lambda: count(row(4000))) for second in range(9)]
    quiet = [(second + 0.2, lambda: count(row(5000))) for second in range(2)]
    day.run([*active, *quiet, (9.5, TERM)])
    assert [(when, flow.source_port, packets) for when, flow, packets in day.lines()] == [
        (5, 5000, 2),
        (9, 4000, 9),
    ]


def test_what_has_no_line_yet_is_in_the_dump(tmp_path: Path) -> None:
    day = Day(tmp_path, "flush 2\nfdelay 10\n")
    seen: list[str] = []
    day.run(
        [
            (0.5, lambda: day.counting.count(row(1, 3))),
            (1.5, lambda: seen.append((tmp_path / "dump").read_text())),
            (4, TERM),
        ]
    )
    assert seen == ["1000001\t17\t10.50.0.1\t1\t10.50.0.2\t9000\t3\t300\tppp0\tunknown\n"]


def test_a_failed_write_loses_nothing_and_is_tried_again_after_errdelay_cycles(tmp_path: Path) -> None:
    day = Day(tmp_path, "flush 1\nfdelay 0\nerrdelay 3\n", file="later/log")
    day.run(
        [
            (0.5, lambda: day.counting.count(row(1, 3))),
            (2.5, (tmp_path / "later").mkdir),
            (3.2, lambda: day.counting.count(row(2, 1))),
            (9.5, TERM),
        ]
    )
    failed = ("nacctd (write)", f"error opening file {day.table.file}: No such file or directory")
    assert day.told.lines == [failed, *[("nacctd", "flushing delayed due to error")] * 3]
    assert [(when, flow.source_port, packets) for when, flow, packets in day.lines("later/log")] == [
        (5, 1, 3),
        (5, 2, 1),
    ]


def test_a_signal_during_the_delay_after_an_error_writes_everything(tmp_path: Path) -> None:
    day = Day(tmp_path, "flush 1\nfdelay 0\n", file="later/log")
    day.run([(0.5, lambda: day.counting.count(row(1, 3))), (1.5, (tmp_path / "later").mkdir), (2.5, TERM)])
    assert day.sums("later/log") == {(1, None): 3}


def test_what_cannot_be_written_at_the_end_is_written_by_the_next_start(tmp_path: Path) -> None:
    day = Day(tmp_path, "flush 1\nfdelay 0\n", file="later/log")
    day.run([(0.5, lambda: day.counting.count(row(1, 3))), (2.5, TERM)])
    assert day.told.texts[-1] == "1 records are kept: the next start writes them"
    (tmp_path / "later").mkdir()
    again = Day(tmp_path, "flush 1\nfdelay 0\n", file="later/log")
    again.run([(2.5, TERM)])
    assert again.sums("later/log") == {(1, None): 3}
    assert not (tmp_path / "dump.journal").exists()


def test_between_tstp_and_cont_the_log_is_left_alone(tmp_path: Path) -> None:
    day = Day(tmp_path, "flush 1\nfdelay 0\n")
    count = day.counting.count
    log = tmp_path / "log"
    sizes: list[int] = []
    day.run(
        [
            (0.5, lambda: count(row(1))),
            (2.5, int(signal.SIGTSTP)),
            (2.6, lambda: count(row(2))),
            (6.5, lambda: sizes.append(log.stat().st_size)),
            (6.6, lambda: log.rename(tmp_path / "log.1")),
            (6.7, int(signal.SIGCONT)),
            (9.5, TERM),
        ]
    )
    assert day.sums("log.1") == {(1, None): 1}
    assert day.sums() == {(2, None): 1}
    assert sizes == [(tmp_path / "log.1").stat().st_size]


def test_tstp_and_then_term_writes_everything(tmp_path: Path) -> None:
    day = Day(tmp_path, "flush 1000\nfdelay 1000\n")
    day.run([(0.5, lambda: day.counting.count(row(1, 3))), (0.6, int(signal.SIGTSTP)), (1.6, TERM)])
    assert day.sums() == {(1, None): 3}


def test_hup_with_a_refused_file_changes_nothing(tmp_path: Path) -> None:
    day = Day(tmp_path, "flush 1000\nfdelay 1000\n")
    day.run([(0.5, lambda: day.counting.count(row(1, 3))), (1, int(signal.SIGHUP)), (2, TERM)])
    assert day.told.texts == ["the settings stay as they were"]
    assert day.sums() == {(1, None): 3}


def test_hup_goes_on_with_another_file_dump_and_fields(tmp_path: Path) -> None:
    day = Day(tmp_path, "flush 1000\nfdelay 1000\n")
    day.reloaded = table_in(tmp_path, "disable 7\nflush 1000\nfdelay 1000\n", file="log2", dump="dump2")
    day.run([(0.5, lambda: day.counting.count(row(1, 3))), (1, int(signal.SIGHUP)),
             (1.5, lambda: day.counting.count(row(2))), (2, TERM)])  # fmt: skip
    assert not (tmp_path / "log").exists()
    assert [line.split("\t")[3:7] for line in (tmp_path / "log2").read_text().splitlines()] == [
        ["1", "10.50.0.2", "9000", "300"],
        ["2", "10.50.0.2", "9000", "100"],
    ]
    assert len(day.counting.tables) == 1


def test_hup_with_other_filters_begins_to_count_anew(tmp_path: Path) -> None:
    day = Day(tmp_path, "flush 1000\nfdelay 1000\n")
    day.reloaded = table_in(tmp_path, "notdev ppp0\nflush 1000\nfdelay 1000\n")
    day.run([(0.5, lambda: day.counting.count(row(1, 3))), (1, int(signal.SIGHUP)),
             (1.5, lambda: day.counting.count(row(2), row(3, device="ppp1"))), (2, TERM)])  # fmt: skip
    assert day.counting.tables == [day.table, day.reloaded]
    assert day.sums() == {(1, None): 3, (3, None): 1}


def test_hup_that_the_kernel_refuses_goes_on_as_before(tmp_path: Path) -> None:
    day = Day(tmp_path, "flush 1000\nfdelay 1000\n")
    day.reloaded = day.counting.refused = table_in(tmp_path, "notdev ppp0\nflush 1000\nfdelay 1000\n")
    day.run([(0.5, lambda: day.counting.count(row(1, 3))), (1, int(signal.SIGHUP)),
             (1.5, lambda: day.counting.count(row(2))), (2, TERM)])  # fmt: skip
    anew = "the sockets were opened anew: for up to 0 ms nobody counted"
    assert day.told.texts == ["nacctd: open: refused", anew, "the settings stay as they were"]
    assert day.sums() == {(1, None): 3, (2, None): 1}


def test_usr1_counts_the_mask_up_usr2_turns_it_off_and_winch_tells_the_version(tmp_path: Path) -> None:
    day = Day(tmp_path)
    signals = (signal.SIGUSR1, signal.SIGQUIT, signal.SIGUSR2, signal.SIGWINCH, signal.SIGABRT)
    day.run([(1 + index / 10, int(number)) for index, number in enumerate(signals)] + [(2.2, TERM)])
    assert day.told.texts[0] == "turning off debugging"
    assert day.told.texts[1].startswith("nacctd, revisions:\nnetledger ")
    told = (tmp_path / "debug").read_text()
    assert "[SIG  ] got signal 10, handling" in told
    assert "[SIG  ] got signal 3, ignoring" in told
    assert "got signal 28" not in told
    assert len(day.counting.tables) == 2


DYNAMIC = "dynamicip {}/ip\ndynamicnet 10.50.0.0 255.255.0.0\nexclude-name-lookup 10.50.0.1\nflush 1000\nfdelay 1000\n"


@pytest.fixture
def addresses(tmp_path: Path) -> Path:
    (tmp_path / "ip").mkdir()
    (tmp_path / "ip" / "10.50.0.2").write_text("alice\n")
    return tmp_path / "ip" / "10.50.0.2"


def test_each_user_has_what_passed_while_the_address_was_his(tmp_path: Path, addresses: Path) -> None:
    day = Day(tmp_path, DYNAMIC.format(tmp_path))
    count = day.counting.count
    day.run(
        [
            (1.5, lambda: count(row(1, 1))),
            (2, lambda: addresses.write_text("carol\n")),
            (2.2, lambda: count(row(1, 2))),
            (3, addresses.unlink),
            (3.2, lambda: count(row(1, 4))),
            (4, lambda: addresses.write_text("alice\n")),
            (4.2, lambda: count(row(1, 8))),
            (6, TERM),
        ]
    )
    assert day.sums() == {(1, "alice"): 9, (1, "carol"): 2, (1, None): 4}


def test_after_a_crash_each_user_has_what_he_had(tmp_path: Path, addresses: Path) -> None:
    day = Day(tmp_path, DYNAMIC.format(tmp_path))
    count = day.counting.count

    def die() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        day.run(
            [
                (1.5, lambda: count(row(1, 1))),
                (2, lambda: addresses.write_text("carol\n")),
                (2.2, lambda: count(row(1, 2))),
                (2.5, die),
            ]
        )
    addresses.write_text("dave\n")
    again = Day(tmp_path, DYNAMIC.format(tmp_path))
    again.counting = day.counting
    again.now = again.started = Moment(day.now.wall_ns + 9 * S, day.now.monotonic_ns + 9 * S)
    again.run([(1.5, lambda: again.counting.count(row(1, 4))), (3, TERM)])
    assert again.sums() == {(1, "alice"): 1, (1, "carol"): 2, (1, "dave"): 4}


def test_room_is_made_before_there_is_none(tmp_path: Path) -> None:
    day = Day(tmp_path, "flush 1000\nfdelay 1000\n")

    def fill() -> None:
        day.counting.count(row(1))
        day.counting.full = 0.6

    day.run([(second + 0.5, fill) for second in range(12)] + [(14, TERM)])
    assert day.sums() == {(1, None): 12}
    assert len(day.counting.all) >= 12
    assert all(each.is_released for each in day.counting.all)


def test_what_was_lost_is_told_once(tmp_path: Path) -> None:
    day = Day(tmp_path, "flush 1\n")

    def lose() -> None:
        day.counting.dropped = 7

    day.run([(1.5, lose), (5, TERM)])
    assert day.told.texts == ["7 packets were lost: the kernel had no room for them"]


def test_what_found_no_room_is_written_and_told(tmp_path: Path) -> None:
    day = Day(tmp_path, "flush 1\nhostlimit 1.2.3.4\nnotdev other\n")
    day.run([(1.5, lambda: day.counting.count(Counted(*NO_FLOW, 4, 400))), (5, TERM)])
    assert [(flow.source, flow.device, packets) for _, flow, packets in day.lines()] == [(0, "other", 4)]
    assert day.told.texts == ["4 packets are written without their flow: there were too many"]


def test_the_filters_hold_for_each_row(tmp_path: Path) -> None:
    table = table_in(tmp_path, "ignorenet 10.50.0.2\nnotdev eth1\n")
    assert records_of([row(1)], {}, table) == []
    lan = row(2)._replace(destination=0x0A090001)
    assert [flow.source_port for flow, _, _ in records_of([lan, lan._replace(device="eth1")], {}, table)] == [2]
