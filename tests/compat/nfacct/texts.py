"""What ``restore`` is given: what ``list`` has printed, what people write, and what neither would."""

_DIGITS = "0" * 19


def listed(name: bytes, *, over: str = "") -> bytes:
    """A line as ``list`` prints it; with ``over`` that of an object with a quota."""
    quota = f", quota = {_DIGITS}9, mode = byte, overquota = {over}" if over else ""
    return f"{{ pkts = {_DIGITS}1, bytes = {_DIGITS}2{quota} }} = ".encode() + name + b";\n"


ACCEPTED_BY_BOTH = (
    "", "{ pkts = 5, bytes = 600 } = alpha;\n", "{ pkts = 5, bytes = 600 } = alpha;",
    "{ pkts = 5, bytes = 600 } = alpha;\n{ pkts = 7, bytes = 8 } = beta;\n",
    f"{{ pkts = {_DIGITS}5, bytes = {_DIGITS}6 }} = alpha;\n",
    "{ pkts = 3, bytes = 4, quota = 12, mode = byte } = q;\n",
    "{ pkts = 3, bytes = 4, quota = 12, mode = packet } = q;\n",
    "{ pkts = 3, bytes = 4, quota = -1, mode = packet } = q;\n",
    "{ pkts = 18446744073709551615, bytes = 18446744073709551615 } = max;\n",
    "{ pkts = 18446744073709551616, bytes = 99999999999999999999 } = max;\n", "{ pkts = -1, bytes = -5 } = max;\n",
    "{pkts=5,bytes=7}=tight;\n", "{  pkts =\t5,   bytes = +7  }  =   wide;\n", "{ pkts = 1, bytes = 2 } =name ;\n",
    "{ pkts = 1, bytes = 2 } = crlf;\r\n", "{ pkts = 1, bytes = 2 } = web; # customers\n",
    "{ pkts = 1, bytes = 2 } = web;junk", "{ pkts = 1, bytes = 2 } = semi;colon;\n",
    "{ pkts = 1, bytes = 2 } = a;{ pkts = 1, bytes = 2 } = b;\n",
    "{ pkts = 1, bytes = 2 } = a;\0junk\n", "{ pkts = 1, bytes = 2 } = ümläut;\n",
)  # fmt: skip

REFUSED_BY_BOTH = (
    "garbage\n", "garbage;\n", "\n", ";\n", " ;\n", "\0;\n", "{ pkts = 1, bytes = 2 } = none\n",
    "{ pkts = 1, bytes = 2 } = ;\n", " { pkts = 1, bytes = 2 } = a;\n", "{ pkts = x, bytes = 2 } = a;\n",
    "{ pkts = 1 , bytes = 2 } = a;\n", "{ pkts = , bytes = 2 } = a;\n", "{ bytes = 1, pkts = 2 } = a;\n",
    "pkts = 1, bytes = 2 = a;\n", "{ pkts = 1, bytes = 2 } a;\n", "{ pkts = 1, bytes = 2, } = a;\n",
    "{ pkts = 1, bytes = 2, quota = x, mode = byte } = a;\n", "{ pkts = 1, bytes = 2, quota = 5 } = a;\n",
    "{ pkts = 1, bytes = 2, mode = byte } = a;\n", "{ pkts = 1, bytes = 2, quota = 5, mode = } = a;\n",
    "{ pkts = 1, bytes = 2, quota = 5, mode = byte, overquota = maybe } = a;\n", "# a remark\n", "# a remark;\n",
    "{ pkts = 3, bytes = 4 } = ok1;\nbad\n{ pkts = 3, bytes = 4 } = ok2;\n",
    "{ pkts = 3, bytes = 4 } = ok1;\nbad;\n{ pkts = 3, bytes = 4 } = ok2;\n",
    "{ pkts = 3, bytes = 4 } = new;\n{ pkts = 1, bytes = 1 } = https;\n{ pkts = 1, bytes = 1 } = gamma;\n",
    "{ pkts = 1, bytes = 1 } = twice;\n{ pkts = 1, bytes = 1 } = twice;\n", "\n{ pkts = 1, bytes = 1 } = a;\n",
    f"{{ pkts = {_DIGITS}5, bytes = {_DIGITS}6 }} = no end\n{{ pkts = {_DIGITS}5, bytes = {_DIGITS}6 }} = b\n",
    '{ "timestamp" : 1, \n  "nfacct_counters" : [\n', '<?xml version="1.0" encoding="utf-8"?>\n<nfacct>\n',
)  # fmt: skip

DIFFERENT = {
    "restore-mode": (
        "{ pkts = 1, bytes = 2, quota = 5, mode = bytes } = q;\n",
        "{ pkts = 1, bytes = 2, quota = 5, mode = x } = q;\n",
    ),
    "restore-quota": (
        "{ pkts = 1, bytes = 2, quota = 5, mode = byte, overquota = no } = q;\n",
        listed(b"q", over="no").decode(), listed(b"q", over="yes").decode(),
    ),
    "restore-name": (
        "{ pkts = 1, bytes = 2 } = name with space;\n",
        "{ pkts = 000000000001, bytes = 000000000002 } = semi;colon;\n",
        "{ pkts = 1, bytes = 2 } = my-quota-obj;\n", "{ pkts = 1, bytes = 2 } = name with space; # a remark\n",
    ),
    "long-name": (f"{{ pkts = 1, bytes = 2 }} = {'z' * 32};\n", f"{{ pkts = 1, bytes = 2 }} = {'z' * 99};\n"),
    "restore-long-line": (
        f"{{ pkts = {'0' * 600}1, bytes = 2 }} = a;\n", f"{{ pkts = 1, bytes = 2 }} = a;{' ' * 600}\n",
    ),
}  # fmt: skip
