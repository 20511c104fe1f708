"""A test is skipped only where that is allowed."""

import pytest

from tests.requirements import missing_bpf, missing_peers, required, verdict

NOTHING: frozenset[str] = frozenset()


def test_what_is_there_is_run() -> None:
    assert verdict("kernel", None, frozenset(("kernel",))).action == "run"


def test_what_is_missing_is_skipped_with_its_reason_on_a_laptop() -> None:
    decision = verdict("kernel", "this is not root", NOTHING)
    assert (decision.action, decision.reason) == ("skip", "needs kernel: this is not root")


def test_what_is_missing_fails_where_it_is_required() -> None:
    decision = verdict("peers", "pmacctd: not installed", required("kernel, peers"))
    assert decision.action == "fail"
    assert "pmacctd: not installed" in decision.reason


def test_what_is_missing_is_skipped_where_only_the_other_is_required() -> None:
    assert verdict("peers", "pmacctd: not installed", required("kernel")).action == "skip"


@pytest.mark.parametrize("environment", [None, "", " , "])
def test_nothing_is_required_by_default(environment: str | None) -> None:
    assert required(environment) == NOTHING


def test_a_mistyped_requirement_is_refused() -> None:
    with pytest.raises(ValueError, match="kernal: known are kernel, loop, peers"):
        required("kernal,peers")


def test_missing_programs_are_named() -> None:
    assert missing_peers(["sh", "no-such-program", "nor-this"]) == "no-such-program, nor-this: not installed"
    assert missing_peers(["sh"]) is None


@pytest.mark.parametrize("release", ["6.1.0-28-amd64", "5.10.0", "6.5.13", "unknown"])
def test_an_old_kernel_lacks_what_the_source_bpf_needs(release: str) -> None:
    assert missing_bpf(release) == f"the kernel is {release}, and bpf needs 6.6"


@pytest.mark.parametrize("release", ["6.6.1", "6.18.44-fc-v595", "7.0"])
def test_a_new_kernel_lacks_its_types_at_most(release: str) -> None:
    assert "btf" in (missing_bpf(release) or "btf")
