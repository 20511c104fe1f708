"""Which objects were made at boot, and with what: so that what they count until a meter begins is booked.

``counters restore`` makes objects that go on from their last totals. It leaves a note beside the meter's state, which
is true as long as this kernel runs; the meter takes those totals for what it has seen last.
"""

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from netledger.receipt import Count
from netledger.schema import Kind
from netledger.sources.lasting import replace_file
from netledger.sources.state import boot_id
from netledger.sources.tally import Identity

_NAME: Final = "restored.json"


def note(directory: Path, made: Mapping[str, Count]) -> None:
    """Adds to what was made since boot, by the text of its name.

    Raises:
        OSError: the directory cannot be made or written.
    """
    directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    known = {name: count for (_, name), count in noted(directory).items()}
    whole = {
        "boot_id": boot_id(),
        "objects": {name: [count.packets, count.bytes] for name, count in {**known, **made}.items()},
    }
    replace_file(directory / _NAME, json.dumps(whole, ensure_ascii=False), lasting=False)


def noted(directory: Path) -> dict[Identity, Count]:
    """What was made since boot; nothing where nobody has noted it."""
    try:
        whole = json.loads((directory / _NAME).read_bytes())
        if whole["boot_id"] != boot_id():
            return {}
        return {(Kind.NFACCT, name): Count(*count) for name, count in whole["objects"].items()}
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return {}


def is_counted(directory: Path) -> bool:
    """Whether a meter runs whose state lies there: then it makes its objects itself."""
    try:
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def forget(directory: Path) -> None:
    """Removes the note: from here on the meter knows for itself."""
    (directory / _NAME).unlink(missing_ok=True)
