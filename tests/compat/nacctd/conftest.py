"""The network of the transcripts as a fixture."""

from collections.abc import Iterator

import pytest

from tests.compat.nacctd.wire import Wire


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire() as made:
        yield made
