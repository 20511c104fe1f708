"""Sessions that get, lose and find again what they have: each second is booked to who had it then."""

import pytest

from tests.unit.radius import INTERIM, START, STOP
from tests.unit.radius_world import SIX, STALE_SECONDS, A, B, World

GIVEN_UP = 61 + STALE_SECONDS
BACK = GIVEN_UP + 10


@pytest.fixture
def world() -> World:
    return World()


def test_an_update_that_leaves_the_name_out_changes_no_name(world: World) -> None:
    world.tell(0, START, "1", user="alice", address=A, calling="00-11")
    assert world.tell(60, INTERIM, "1", address=A, calling="00-11") == 0
    assert world.held() == [("alice", 0, None)]


def test_who_came_as_a_calling_station_has_the_name_that_is_told_later(world: World) -> None:
    world.tell(0, START, "1", address=A, calling="00-11")
    world.tell(60, INTERIM, "1", user="alice", address=A, calling="00-11")
    assert world.held() == [("00-11", 0, 60), ("alice", 60, None)]


def test_a_late_start_without_a_name_opens_nothing_behind_its_stop(world: World) -> None:
    world.tell(0, START, "1", user="alice", address=A, calling="00-11")
    world.tell(100, STOP, "1", user="alice", address=A, calling="00-11")
    assert world.tell(102, START, "1", address=A, calling="00-11", delay=102) == 0
    assert world.held() == [("alice", 0, 100)]


def test_a_session_that_goes_on_after_all_has_the_name_it_had(world: World) -> None:
    world.tell(0, START, "1", user="alice", address=A, calling="00-11")
    world.tell(60, INTERIM, "1", user="alice", address=A, calling="00-11")
    world.silence(GIVEN_UP)
    world.tell(BACK, INTERIM, "1", address=A, calling="00-11")
    assert world.held() == [("alice", 0, None)]


def test_a_session_that_goes_on_after_all_had_another_name_before(world: World) -> None:
    world.tell(0, START, "1", user="alice", address=A)
    world.tell(60, INTERIM, "1", user="bob", address=A)
    world.silence(GIVEN_UP)
    world.tell(BACK, INTERIM, "1", user="bob", address=A)
    assert world.held() == [("alice", 0, 60), ("bob", 60, None)]


def test_a_session_that_goes_on_after_all_has_its_address_since_it_got_it(world: World) -> None:
    world.tell(0, START, "1", user="alice", address=A)
    world.tell(60, INTERIM, "1", user="alice", address=B)
    world.silence(GIVEN_UP)
    world.tell(BACK, INTERIM, "1", user="alice", address=B)
    assert (world.held(A), world.held(B)) == ([("alice", 0, 60)], [("alice", 60, None)])


def test_a_session_that_goes_on_after_all_keeps_what_an_update_does_not_name(world: World) -> None:
    world.tell(0, START, "1", user="alice", address=A, delegated=SIX)
    world.tell(60, INTERIM, "1", user="alice")
    world.silence(GIVEN_UP)
    world.tell(BACK, INTERIM, "1", user="alice")
    assert (world.held(A), world.held(SIX)) == ([("alice", 0, None)], [("alice", 0, None)])


def test_a_session_that_goes_on_after_all_takes_nothing_from_who_came_meanwhile(world: World) -> None:
    world.tell(0, START, "1", user="alice", address=A)
    world.tell(60, INTERIM, "1", user="alice", address=A)
    world.silence(GIVEN_UP)
    world.tell(GIVEN_UP + 1, START, "2", user="bob", address=A)
    world.tell(BACK, INTERIM, "1", user="alice")
    assert world.held() == [("alice", 0, GIVEN_UP + 1), ("bob", GIVEN_UP + 1, None)]


def test_an_address_that_a_session_gets_later_is_not_the_one_s_that_began_behind_it(world: World) -> None:
    world.tell(0, START, "1", user="alice", address=A)
    world.tell(100, START, "2", user="bob", address=B)
    world.tell(200, INTERIM, "1", user="alice", address=B)
    assert (world.held(A), world.held(B)) == ([("alice", 0, 200)], [("bob", 100, 200), ("alice", 200, None)])
    world.tell(300, STOP, "1", user="alice", address=B)
    assert world.held(B) == [("bob", 100, 200), ("alice", 200, 300)]


def test_who_got_an_address_with_an_update_keeps_it_when_an_earlier_start_is_told_late(world: World) -> None:
    world.tell(10, START, "1", user="alice")
    world.tell(60, INTERIM, "1", user="alice", address=A)
    world.tell(70, START, "2", user="bob", address=A, delay=20)
    assert world.held() == [("bob", 50, 60), ("alice", 60, None)]


def test_an_address_that_goes_to_nobody_known_is_not_its_last_holder_s_any_more(world: World) -> None:
    world.tell(0, START, "1", user="alice", address=A, delegated=SIX)
    world.tell(100, START, "2", address=A)
    assert world.sessions.unbooked == 1
    assert (world.held(A), world.held(SIX)) == ([("alice", 0, 100)], [("alice", 0, None)])
    world.tell(150, STOP, "1", user="alice", address=A, delegated=SIX)
    assert (world.held(A), world.held(SIX)) == ([("alice", 0, 100)], [("alice", 0, 150)])
    world.tell(200, START, "3", user="bob", address=A)
    assert world.held(A) == [("alice", 0, 100), ("bob", 200, None)]


def test_the_only_address_goes_to_nobody_known_and_the_session_is_over(world: World) -> None:
    world.tell(0, START, "1", user="alice", address=A)
    world.tell(100, INTERIM, "2", address=A, seconds=30)
    assert (world.held(), len(world.sessions)) == ([("alice", 0, 70)], 0)


def test_an_unknown_session_that_began_earlier_ends_nobody(world: World) -> None:
    world.tell(50, START, "1", user="alice", address=A)
    world.tell(100, INTERIM, "2", address=A, seconds=90)
    assert world.held() == [("alice", 50, None)]


@pytest.mark.parametrize("is_over", [True, False])
def test_what_is_told_late_takes_nothing_from_who_had_the_address_until_later(world: World, *, is_over: bool) -> None:
    world.tell(0, START, "1", user="carol", address=A)
    world.tell(60, STOP, "1", user="carol", address=A)
    world.tell(70, START, "2", user="bob", address=A)
    if is_over:
        world.tell(80, STOP, "3", user="alice", address=A, seconds=40, delay=12)
        assert world.held() == [("carol", 0, 60), ("alice", 60, 68), ("bob", 70, None)]
    else:
        world.tell(80, START, "3", user="alice", address=A, delay=30)
        assert world.held() == [("carol", 0, 60), ("alice", 60, 70), ("bob", 70, None)]


def test_an_update_that_comes_late_moves_a_session_not_back(world: World) -> None:
    world.tell(0, START, "1", user="alice", address=A)
    world.tell(60, INTERIM, "1", user="alice", address=B)
    world.tell(90, INTERIM, "1", user="alice", address=A, delay=60)
    assert (world.held(A), world.held(B)) == ([("alice", 0, 60)], [("alice", 60, None)])


def test_a_start_that_is_sent_again_and_again_takes_no_name_back(world: World) -> None:
    world.tell(0, START, "1", user="00-11-22", address=A)
    world.tell(60, INTERIM, "1", user="alice", address=A)
    assert world.tell(70, START, "1", user="00-11-22", address=A, delay=70) == 0
    assert world.held() == [("00-11-22", 0, 60), ("alice", 60, None)]


def test_what_a_late_start_tells_beside_what_is_known_is_learnt(world: World) -> None:
    world.tell(60, INTERIM, "1", user="alice", address=A, seconds=60)
    world.tell(70, START, "1", user="alice", address=A, delegated=SIX, delay=70)
    assert (world.held(A), world.held(SIX)) == ([("alice", 0, None)], [("alice", 0, None)])


def test_a_clock_that_was_set_back_hides_no_change(world: World) -> None:
    world.tell(5000, START, "1", user="alice", address=A)
    world.tell(5060, INTERIM, "1", user="alice", address=A)
    world.tell(1000, INTERIM, "1", user="bob", address=A)
    assert world.held()[-1] == ("bob", 5000, None)


def test_updates_that_name_their_access_server_otherwise_are_updates_of_it(world: World) -> None:
    world.tell(0, START, "1", user="alice", address=A)
    world.tell(0, START, "2", user="bob", address=B)
    world.tell(60, INTERIM, "1", user="alice", address=A, nas="")
    assert world.silence(61 + STALE_SECONDS) == 4
    assert (world.held(A), world.held(B)) == ([("alice", 0, 60)], [("bob", 0, 1e-09)])
