"""The receipt of an interval as one line of JSON beside its rows."""

from typing import BinaryIO

from netledger.receipt import Receipt


def write_receipt(file: BinaryIO, receipt: Receipt) -> None:
    """Writes the line.

    Raises:
        OSError: the disk is full, broken or refuses.
    """
    file.write(receipt.to_line().encode())
