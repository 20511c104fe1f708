"""Kernel = accounted + lost, and intervals can be added up in any way."""

from hypothesis import given
from hypothesis import strategies as st

from netledger.receipt import Balance, Count, Observed, Receipt, Status, parse_rfc3339, rfc3339

NUMBERS = st.integers(min_value=0, max_value=2**50)
COUNTS = st.builds(Count, NUMBERS, NUMBERS)


def observed(kernel: Count | None, accounted: Count, gap: int = 0) -> Observed:
    return Observed(
        kernel=kernel,
        accounted=accounted,
        lost_by_sequence_packets=gap,
        rows=3,
        source="nflog",
        meaning="merged super-packets",
    )


OBSERVED = st.one_of(
    st.builds(lambda accounted, lost: observed(accounted + lost, accounted), COUNTS, COUNTS),
    st.builds(lambda accounted, gap: observed(None, accounted, gap), COUNTS, NUMBERS),
    st.builds(observed, COUNTS, COUNTS),
)


@given(accounted=COUNTS, lost=COUNTS, gap=NUMBERS)
def test_kernel_is_accounted_and_lost(accounted: Count, lost: Count, gap: int) -> None:
    seen = observed(accounted + lost, accounted, gap)
    assert seen.status is (Status.EXACT if lost == Count(0, 0) else Status.LOSSY)
    assert seen.lost == lost
    assert seen.accounted + seen.lost == seen.kernel
    # What the rows add up to, with the one for what is lost.
    assert seen.accounted + seen.unattributed == seen.kernel


@given(kernel=COUNTS, accounted=COUNTS)
def test_a_kernel_count_below_ours_is_never_called_exact_or_lossy(kernel: Count, accounted: Count) -> None:
    seen = observed(kernel, accounted)
    is_below = kernel.packets < accounted.packets or kernel.bytes < accounted.bytes
    assert (seen.status is Status.INTERRUPTED) == is_below
    assert seen.status in (Status.EXACT, Status.LOSSY, Status.INTERRUPTED)


@given(parts=st.lists(OBSERVED, max_size=12), split=st.integers(0, 12))
def test_balances_of_parts_add_up_to_the_balance_of_the_whole(parts: list[Observed], split: int) -> None:
    whole, first, second = Balance.of(parts), Balance.of(parts[:split]), Balance.of(parts[split:])
    assert whole.accounted == first.accounted + second.accounted
    assert whole.lost == first.lost + second.lost
    if whole.kernel is not None:
        assert first.kernel is not None
        assert second.kernel is not None
        assert whole.kernel == first.kernel + second.kernel
    for status in Status:
        assert whole.statuses.get(status, 0) == first.statuses.get(status, 0) + second.statuses.get(status, 0)


@given(cuts=st.lists(st.tuples(COUNTS, COUNTS), min_size=1, max_size=12))
def test_many_intervals_balance_like_the_one_they_could_have_been(cuts: list[tuple[Count, Count]]) -> None:
    accounted = sum((accounted for accounted, _ in cuts), Count(0, 0))
    lost = sum((lost for _, lost in cuts), Count(0, 0))
    many = Balance.of(observed(accounted + lost, accounted) for accounted, lost in cuts)
    one = Balance.of([observed(accounted + lost, accounted)])
    assert (many.kernel, many.accounted, many.lost) == (one.kernel, one.accounted, one.lost)


@given(
    seen=OBSERVED, start_ns=st.integers(0, 2**61), length_ns=st.integers(1, 2**60), monotonic_ns=st.integers(0, 2**60)
)
def test_a_receipt_always_has_the_same_keys_and_adds_up(
    seen: Observed, start_ns: int, length_ns: int, monotonic_ns: int
) -> None:
    receipt = Receipt(
        node="gw1",
        meter="lan",
        seq=1,
        start_ns=start_ns,
        end_ns=start_ns + length_ns,
        monotonic_ns=monotonic_ns,
        observed=seen,
    )
    told = receipt.to_json()
    if told["status"] in ("exact", "lossy"):
        assert told["kernel_packets"] == seen.accounted.packets + seen.lost.packets
        assert told["kernel_bytes"] == seen.accounted.bytes + seen.lost.bytes
    assert receipt.to_line().count("\n") == 1
    assert list(told)[:6] == ["node", "meter", "seq", "interval_start", "interval_end", "status"]


@given(st.integers(0, 2**62))
def test_a_moment_that_was_written_is_read_again(wall_ns: int) -> None:
    assert parse_rfc3339(rfc3339(wall_ns)) == wall_ns
