"""Which capabilities a configuration needs: those that its sources use, and no others."""

from netledger.sources.privileges import CAP_BPF, CAP_NET_ADMIN, CAP_NET_RAW, CAP_PERFMON, CAP_SYS_ADMIN, needed


def test_each_right_is_needed_where_it_is_used() -> None:
    assert needed([], enters_namespaces=False) == {CAP_NET_ADMIN}
    assert needed(["nflog", "conntrack", "nfacct"], enters_namespaces=False) == {CAP_NET_ADMIN}
    assert needed(["nflog", "packet"], enters_namespaces=False) == {CAP_NET_ADMIN, CAP_NET_RAW}
    assert needed(["bpf", "nflog"], enters_namespaces=False) == {CAP_NET_ADMIN, CAP_BPF, CAP_PERFMON}
    assert needed(["nflog"], enters_namespaces=True) == {CAP_NET_ADMIN, CAP_SYS_ADMIN}
