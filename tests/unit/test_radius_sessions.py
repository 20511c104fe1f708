"""Sessions from accounting requests: booked once, in whatever order and however often they are told."""

import pytest

from netledger.attribution.facts import Fact, Target
from netledger.learners.radius import sessions
from netledger.learners.radius.sessions import FullError
from tests.unit.radius import INTERIM, OFF, ON, START, STOP
from tests.unit.radius_world import SIX, STALE_SECONDS, A, B, World
from tests.unit.rows import SECOND_NS, START_NS


@pytest.fixture
def world() -> World:
    return World()


def test_a_session_has_its_addresses_from_start_to_stop(world: World) -> None:
    world.tell(0, START, "1", user="alice", address=A, delegated=SIX)
    assert (world.held(), world.held(SIX)) == ([("alice", 0, None)], [("alice", 0, None)])
    world.tell(100, STOP, "1", user="alice", address=A, delegated=SIX, seconds=100)
    assert (world.held(), world.held(SIX)) == ([("alice", 0, 100)], [("alice", 0, 100)])


def test_what_the_access_server_counted_is_kept_with_the_session(world: World) -> None:
    world.tell(0, START, "1", user="alice", address=A, port=7, calling="00-11")
    world.tell(
        100, STOP, "1", seconds=100, input=5, input_gigawords=1, output=9, input_packets=2, output_packets=3, cause=1
    )
    assert world.detail() == {
        "session": "1",
        "client": "any",
        "nas": "bras1",
        "nas_address": "192.0.2.1",
        "port": "7",
        "calling": "00-11",
        "ended": "stop",
        "cause": "User-Request",
        "seconds": "100",
        "input_octets": str(2**32 + 5),
        "output_octets": "9",
        "input_packets": "2",
        "output_packets": "3",
    }


def test_one_address_goes_from_one_user_to_the_next(world: World) -> None:
    world.tell(0, START, "1", user="alice", address=A)
    world.tell(100, STOP, "1", user="alice", address=A)
    world.tell(110, START, "2", user="bob", address=A)
    assert world.held() == [("alice", 0, 100), ("bob", 110, None)]


def test_what_is_sent_again_is_booked_once(world: World) -> None:
    world.tell(0, START, "1", user="alice", address=A)
    assert world.tell(3, START, "1", user="alice", address=A, delay=3) == 0
    assert world.tell(9, START, "1", user="alice", address=A) == 0
    world.tell(100, STOP, "1", user="alice", address=A)
    assert world.tell(105, STOP, "1", user="alice", address=A, delay=5) == 0
    assert world.held() == [("alice", 0, 100)]


def test_a_start_that_comes_behind_its_stop_opens_nothing(world: World) -> None:
    world.tell(100, STOP, "1", user="alice", address=A, seconds=100)
    assert world.tell(102, START, "1", user="alice", address=A, delay=102) == 0
    assert (world.held(), len(world.sessions)) == ([("alice", 0, 100)], 0)


def test_what_was_told_late_happened_then(world: World) -> None:
    world.tell(60, START, "1", user="alice", address=A, delay=50)
    world.tell(200, STOP, "1", user="alice", address=A, event=START_NS // SECOND_NS + 120)
    assert world.held() == [("alice", 10, 120)]


@pytest.mark.parametrize("event", [START_NS // SECOND_NS + 1000, 0, START_NS // SECOND_NS - 90_000])
def test_a_clock_that_cannot_be_right_is_not_believed(world: World, event: int) -> None:
    world.tell(60, START, "1", user="alice", address=A, event=event, delay=20)
    assert world.held() == [("alice", 40, None)]


def test_a_delay_that_cannot_be_right_is_not_believed(world: World) -> None:
    world.tell(60, START, "1", user="alice", address=A, delay=0xFFFF_FFFF)
    assert world.held() == [("alice", 60, None)]


def test_a_session_whose_start_was_lost_began_when_its_stop_says(world: World) -> None:
    world.tell(100, STOP, "1", user="alice", address=A, seconds=70)
    assert world.held() == [("alice", 30, 100)]


def test_a_session_whose_start_was_lost_began_when_its_interim_update_says(world: World) -> None:
    world.tell(100, INTERIM, "1", user="alice", address=A, seconds=70)
    assert world.held() == [("alice", 30, None)]


def test_the_stop_of_an_unknown_session_takes_nothing_from_who_has_the_address_now(world: World) -> None:
    world.tell(50, START, "2", user="bob", address=A)
    world.tell(100, STOP, "1", user="alice", address=A, seconds=90)
    assert world.held() == [("alice", 10, 50), ("bob", 50, None)]


def test_an_address_that_comes_with_an_interim_update_is_had_from_then_on(world: World) -> None:
    assert world.tell(0, START, "1", user="alice") == 0
    world.tell(30, INTERIM, "1", user="alice", address=A, delegated=SIX)
    assert (world.held(), world.held(SIX)) == ([("alice", 30, None)], [("alice", 30, None)])


def test_an_address_that_comes_with_the_stop_only_was_had_all_the_time(world: World) -> None:
    world.tell(0, START, "1", user="alice")
    world.tell(100, STOP, "1", user="alice", address=A)
    assert world.held() == [("alice", 0, 100)]


def test_another_ipv4_address_replaces_the_one_before_and_prefixes_stay(world: World) -> None:
    world.tell(0, START, "1", user="alice", address=A, delegated=SIX)
    world.tell(60, INTERIM, "1", user="alice", address=B)
    assert (world.held(A), world.held(B)) == ([("alice", 0, 60)], [("alice", 60, None)])
    assert world.held(SIX) == [("alice", 0, None)]


def test_interim_updates_that_change_nothing_are_no_facts(world: World) -> None:
    world.tell(0, START, "1", user="alice", address=A)
    assert [world.tell(at, INTERIM, "1", user="alice", address=A, input=at) for at in (60, 120)] == [0, 0]


def test_a_lost_stop_ends_the_session_at_its_last_sign_of_life(world: World) -> None:
    world.tell(0, START, "1", user="alice", address=A)
    world.tell(600, INTERIM, "1", user="alice", address=A, seconds=600, input=77)
    assert world.silence(600 + STALE_SECONDS) == 0
    assert world.silence(601 + STALE_SECONDS) == 2
    assert world.held() == [("alice", 0, 600)]
    assert (world.detail()["ended"], world.detail()["input_octets"]) == ("stale", "77")


def test_many_that_are_silent_are_given_up_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "STALE_MAX", 2)
    world = World()
    for number in range(5):
        world.tell(0, START, str(number), user="alice", address=f"10.0.1.{number}")
    world.tell(1, INTERIM, "0", user="alice", address="10.0.1.0")
    assert [world.silence(2 + STALE_SECONDS) for _ in range(4)] == [4, 4, 2, 0]


def test_silence_says_nothing_where_no_interim_updates_are_sent(world: World) -> None:
    world.tell(0, START, "1", user="alice", address=A)
    assert world.silence(10 * STALE_SECONDS) == 0
    assert world.held() == [("alice", 0, None)]


def test_a_session_that_was_given_up_and_lives_has_never_ended(world: World) -> None:
    world.tell(0, START, "1", user="alice", address=A)
    world.tell(60, INTERIM, "1", user="alice", address=A)
    world.silence(5000)
    world.tell(6000, INTERIM, "1", user="alice", address=A)
    assert world.held() == [("alice", 0, None)]
    world.tell(7000, STOP, "1", user="alice", address=A)
    assert world.held() == [("alice", 0, 7000)]


def test_the_stop_of_a_session_that_was_given_up_corrects_its_end(world: World) -> None:
    world.tell(0, START, "1", user="alice", address=A)
    world.tell(60, INTERIM, "1", user="alice", address=A)
    world.silence(5000)
    world.tell(6000, STOP, "1", user="alice", address=A, event=START_NS // SECOND_NS + 5500, output=7)
    assert world.held() == [("alice", 0, 5500)]
    assert (world.detail()["ended"], world.detail()["output_octets"]) == ("stop", "7")


def test_a_start_on_the_same_line_and_address_ends_what_was_there(world: World) -> None:
    world.tell(0, START, "1", user="alice", address=A, delegated=SIX, port=7)
    world.tell(100, START, "2", user="bob", address=A, port=7)
    assert (world.held(), world.held(SIX)) == ([("alice", 0, 100), ("bob", 100, None)], [("alice", 0, 100)])
    assert len(world.sessions) == 1


def test_a_start_on_another_line_takes_the_address_only(world: World) -> None:
    world.tell(0, START, "1", user="alice", address=A, delegated=SIX, port=7)
    world.tell(100, START, "2", user="bob", address=A, port=8)
    assert (world.held(), world.held(SIX)) == ([("alice", 0, 100), ("bob", 100, None)], [("alice", 0, None)])


def test_the_late_stop_of_a_replaced_session_ends_it_where_it_says(world: World) -> None:
    world.tell(0, START, "1", user="alice", address=A)
    world.tell(100, START, "2", user="bob", address=A)
    world.tell(130, STOP, "1", user="alice", address=A, delay=50)
    assert world.held() == [("alice", 0, 80), ("bob", 100, None)]
    world.tell(140, STOP, "2", user="bob", address=A)
    assert world.held() == [("alice", 0, 80), ("bob", 100, 140)]


def test_the_late_start_of_an_earlier_session_takes_nothing_from_the_later_one(world: World) -> None:
    world.tell(100, START, "2", user="bob", address=A)
    world.tell(110, START, "1", user="alice", address=A, delay=60)
    assert world.held() == [("alice", 50, 100), ("bob", 100, None)]
    assert world.tell(200, INTERIM, "1", user="alice", address=A) == 0
    world.tell(210, STOP, "1", user="alice", address=A, delay=120)
    assert world.held() == [("alice", 50, 90), ("bob", 100, None)]


@pytest.mark.parametrize("status", [ON, OFF])
def test_a_restart_of_the_access_server_ends_its_sessions(world: World, status: int) -> None:
    world.tell(0, START, "1", user="alice", address=A)
    world.tell(0, START, "2", user="bob", address=B)
    world.tell(0, START, "1", user="carol", address="10.9.9.9", nas="bras2")
    world.tell(100, status)
    assert (world.held(A), world.held(B)) == ([("alice", 0, 100)], [("bob", 0, 100)])
    assert world.held("10.9.9.9") == [("carol", 0, None)]
    assert world.detail()["ended"] == "nas restart"


def test_a_restart_that_is_told_late_does_not_end_what_began_after_it(world: World) -> None:
    world.tell(0, START, "1", user="alice", address=A)
    world.tell(100, START, "2", user="bob", address=B)
    world.tell(110, ON, delay=30)
    assert (world.held(A), world.held(B)) == ([("alice", 0, 80)], [("bob", 100, None)])


def test_the_links_of_a_bundle_share_its_address_until_the_last_one_ends(world: World) -> None:
    world.tell(0, START, "1", user="alice", address=A, multi="m")
    assert world.tell(10, START, "2", user="alice", address=A, multi="m") == 0
    world.tell(50, STOP, "1", user="alice", address=A, multi="m")
    assert [(subject, start) for subject, start, _ in world.held()] == [("alice", 0), ("alice", 50)]
    world.tell(90, STOP, "2", user="alice", address=A, multi="m")
    assert world.held()[-1] == ("alice", 50, 90)


def test_the_same_id_may_come_again_for_another_session(world: World) -> None:
    world.tell(0, START, "1", user="alice", address=A, calling="00-11")
    world.tell(500, START, "1", user="bob", address=B, calling="00-22")
    assert (world.held(A), world.held(B)) == ([("alice", 0, 500)], [("bob", 500, None)])


def test_the_same_id_may_come_again_at_once_for_somebody_else(world: World) -> None:
    world.tell(0, START, "1", user="alice", address=A)
    world.tell(100, STOP, "1", user="alice", address=A)
    world.tell(102, START, "1", user="bob", address=A)
    assert world.held() == [("alice", 0, 100), ("bob", 102, None)]


def test_an_id_that_goes_on_behind_its_stop_is_another_session(world: World) -> None:
    world.tell(0, START, "1", user="alice", address=A)
    world.tell(100, STOP, "1", user="alice", address=A, seconds=100)
    assert world.tell(103, INTERIM, "1", user="alice", address=A, seconds=103) == 0
    world.tell(200, INTERIM, "1", user="alice", address=A, seconds=50)
    assert world.held() == [("alice", 0, 100), ("alice", 150, None)]
    world.tell(300, STOP, "1", user="alice", address=A, seconds=150)
    assert world.held() == [("alice", 0, 100), ("alice", 150, 300)]


def test_of_two_stops_of_one_id_the_second_may_be_of_another_session(world: World) -> None:
    world.tell(0, START, "1", user="alice", address=A)
    world.tell(10, STOP, "1", user="alice", address=A, seconds=10)
    assert world.tell(30, STOP, "1", user="alice", address=A, seconds=10) == 0, "the same, sent again"
    world.tell(200, STOP, "1", user="bob", address=A, seconds=50)
    assert world.held() == [("alice", 0, 10), ("bob", 150, 200)]


def test_a_session_time_that_cannot_be_right_is_believed_for_a_month(world: World) -> None:
    world.tell(0, STOP, "1", user="alice", address=A, seconds=0xFFFF_FFFF)
    assert world.held() == [("alice", -31 * 86_400, 0)]


def test_another_name_in_a_session_has_it_from_then_on(world: World) -> None:
    world.tell(0, START, "1", user="00-11-22", address=A)
    world.tell(60, INTERIM, "1", user="alice", address=A)
    assert world.held() == [("00-11-22", 0, 60), ("alice", 60, None)]


def test_sessions_outlive_a_restart_of_the_program(world: World) -> None:
    world.tell(0, START, "1", user="alice", address=A, delegated=SIX, port=7)
    world.restart(50)
    assert len(world.sessions) == 1
    assert world.tell(60, START, "1", user="alice", address=A, delegated=SIX, delay=60, port=7) == 0
    world.tell(100, STOP, "1", user="alice", address=A, delegated=SIX)
    assert (world.held(), world.held(SIX)) == ([("alice", 0, 100)], [("alice", 0, 100)])


def test_the_last_sign_of_life_outlives_a_restart_of_the_program(world: World) -> None:
    world.tell(0, START, "1", user="alice", address=A)
    world.tell(600, INTERIM, "1", user="alice", address=A, input=77)
    world.restart(1000, world.signs())
    assert world.silence(1000 + STALE_SECONDS) == 0, "the silence of before is not the access server's"
    assert world.silence(1001 + STALE_SECONDS) == 2
    assert (world.held(), world.detail()["input_octets"]) == ([("alice", 0, 600)], "77")


def test_without_signs_of_life_a_session_is_taken_to_have_lived_until_the_restart(world: World) -> None:
    world.tell(0, START, "1", user="alice", address=A)
    world.restart(1000)
    world.tell(1100, START, "2", user="bob", address=B)
    world.tell(1200, INTERIM, "2", user="bob", address=B)
    world.tell(1200 + STALE_SECONDS, INTERIM, "2", user="bob", address=B)
    world.silence(1100 + STALE_SECONDS)
    assert world.held() == [("alice", 0, 1000)]


@pytest.mark.parametrize("again", [{}, {"delay": 1}])
def test_a_start_that_was_sent_again_is_no_interim_update_for_who_takes_over(
    world: World, again: dict[str, object]
) -> None:
    world.tell(0, START, "1", user="alice", address=A)
    world.tell(3, START, "1", user="alice", address=A, **again)
    world.restart(10, world.signs())
    assert world.silence(10 + 2 * STALE_SECONDS) == 0
    assert world.held() == [("alice", 0, None)]


def test_claims_of_somebody_else_are_left_alone(world: World) -> None:
    foreign = Fact(target=Target.address(A), valid_from_ns=START_NS, subject="alice", source="isp")
    world.sessions.resume([foreign], signs={}, now_ns=START_NS)
    assert len(world.sessions) == 0


def test_a_session_without_a_name_is_counted_and_not_booked(world: World) -> None:
    assert world.tell(0, START, "1", address=A) == 0
    assert world.sessions.unbooked == 1


def test_a_name_that_reports_use_is_booked_with_a_word_before_it(world: World) -> None:
    world.tell(0, START, "1", user="unknown", address=A)
    assert world.held() == [("user:unknown", 0, None)]


def test_there_is_room_for_so_many_sessions_and_the_next_one_changes_nothing() -> None:
    world = World(sessions_max=2)
    for number in range(2):
        world.tell(number, START, str(number), user="alice", address=f"10.0.1.{number}")
    with pytest.raises(FullError):
        world.tell(5, START, "5", user="bob", address=A)
    assert world.held() == []
    world.tell(6, STOP, "0", user="alice")
    world.tell(7, START, "5", user="bob", address=A)
    assert world.held() == [("bob", 7, None)]
