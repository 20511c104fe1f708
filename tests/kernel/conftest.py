"""Tests on the real kernel: root, network namespaces, nft. Everything in this folder is marked ``kernel``."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.lab import Lab, Pair, remove_stale

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.kernel)
            if item.path.name.startswith("test_bpf_"):
                item.add_marker(pytest.mark.bpf)


@pytest.fixture(autouse=True, scope="session")
def _no_stale_namespaces() -> None:
    remove_stale()


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A gateway between two sides."""
    with Lab() as made:
        yield made


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two machines, one wire."""
    with Pair() as made:
        yield made
