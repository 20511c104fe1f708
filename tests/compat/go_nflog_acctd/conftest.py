"""The network of the transcripts as a fixture."""

from collections.abc import Iterator

import pytest

from tests.compat.go_nflog_acctd.wire import Wire


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire() as made:
        yield made
