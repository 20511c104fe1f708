"""Who holds an NFLOG group, read from texts as the kernel writes them."""

import pytest

from netledger.errors import SourceError
from netledger.sources.bound import FIRST_GROUP, LAST_GROUP, read_groups, read_inode, two_free_groups

GROUPS = """    4   1234     0 2    64    10  1
30000 3123456789     5 2    48    10  1
"""
SOCKETS = """sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode
00000000314b3106 0   1234       00000000 0        0        0     2        0        4
0000000071bf2d49 12  1234       00000000 0        0        0     2        17       2579
00000000128ccba5 12  0          00000000 0        0        0     2        0        2121
00000000128ccba5 12  3123456789 00000000 0        0        0     2        0        2122
"""


def test_groups_and_their_listeners_are_read() -> None:
    assert read_groups(GROUPS) == {4: 1234, 30000: 3_123_456_789}
    assert read_groups("") == {}


def test_the_socket_is_looked_up_among_those_of_netfilter() -> None:
    assert read_inode(SOCKETS, 1234) == 2579
    assert read_inode(SOCKETS, 3_123_456_789) == 2122
    assert read_inode(SOCKETS, 5) is None
    assert read_inode("", 5) is None


def test_free_groups_are_the_lowest_two() -> None:
    assert two_free_groups(set()) == (FIRST_GROUP, FIRST_GROUP + 1)
    assert two_free_groups({FIRST_GROUP, FIRST_GROUP + 2, 4}) == (FIRST_GROUP + 1, FIRST_GROUP + 3)


def test_no_free_group_is_an_error() -> None:
    with pytest.raises(SourceError, match="all from 30000 to 65535 are in use"):
        two_free_groups(set(range(FIRST_GROUP, LAST_GROUP)))
