"""Whatever access servers tell, in whatever order: what is claimed is what sessions hold."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from netledger.attribution.facts import Target
from netledger.learners.radius.session import Session
from tests.unit.radius import INTERIM, OFF, ON, START, STOP
from tests.unit.radius_world import A, B, World

STEPS = st.lists(
    st.tuples(
        st.sampled_from([START, STOP, INTERIM, ON, OFF, 0]),
        st.sampled_from(["1", "2", "3"]),
        st.sampled_from([A, B, None]),
        st.sampled_from(["alice", "bob", ""]),
        st.integers(0, 300),
        st.sampled_from(["", "m"]),
        st.sampled_from([None, 0, 40, 4000]),
    ),
    max_size=30,
)


@given(STEPS)
def test_whatever_is_told_each_address_has_one_session_and_ends_are_behind_beginnings(
    steps: list[tuple[int, str, str | None, str, int, str, int | None]],
) -> None:
    world = World()
    times = itertools.accumulate(60 for _ in steps)
    for now, (status, session, address, user, delay, multi, seconds) in zip(times, steps, strict=True):
        if status == 0:
            world.silence(now)
            continue
        named: dict[str, object] = {
            "address": address,
            "user": user,
            "delay": delay,
            "multi": multi,
            "seconds": seconds,
        }
        world.tell(now, status, session, port=1, **{key: value for key, value in named.items() if value})
        _hold_together(world)
    world.restart(100_000, world.signs())
    _hold_together(world)


def _hold_together(world: World) -> None:
    """What is claimed until further notice is exactly what open sessions hold, and by the one that holds it."""
    lasting = {
        str(target): held[-1][0]
        for target in world.targets()
        if (held := world.held(str(target))) and held[-1][2] is None
    }
    open_sessions: list[Session] = list(world.sessions.open())
    held_now = {str(target) for one in open_sessions for target in one.claims if target not in one.lost}
    assert set(lasting) == held_now
    for target, subject in lasting.items():
        holders = [one for one in open_sessions if Target.address(target) in one.claims]
        assert subject in {one.subject for one in holders if Target.address(target) not in one.lost}
