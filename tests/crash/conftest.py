"""Crash tests need what the tests on the real kernel need; everything in this folder is marked ``kernel``."""

from pathlib import Path

import pytest

from tests.kernel.conftest import lab

__all__ = ["lab"]

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.kernel)
