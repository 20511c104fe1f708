"""What of a meter must survive a restart of the machine, in the directory ``meters`` of the store.

``METER.seq`` holds the number of the newest committed interval: the runtime directory is volatile, and numbers must not
repeat. ``METER.open`` is there while the meter counts: a start that finds it and no generation knows that some were
lost. The store may be full or slow, so nothing here is called where counting waits for it, but for the start.
"""

import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path

from netledger.durable import sync_directory
from netledger.errors import SourceError

_OPEN = re.compile(r"since_ns=(?P<since_ns>\d{1,19}) boot_id=(?P<boot_id>\S+)\n")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Mark:
    """That a meter counts.

    Attributes:
        since_ns: since when without a clean stop, UTC nanoseconds.
        boot_id: of the kernel that it counted on last.
    """

    since_ns: int
    boot_id: str


class Lasting:
    """The lasting files of one meter. :meth:`number` may be called from another thread than the rest.

    Args:
        store: directory ``meters`` of the store.
        meter: name of the meter.
    """

    def __init__(self, store: Path, meter: str) -> None:
        self._meter = meter
        self._newest = store / f"{meter}.seq"
        self._mark = store / f"{meter}.open"
        self.taken = 0
        """The highest number that is taken for ever."""

    def open(self, known_seq: int) -> None:
        """Reads the number. ``known_seq`` is the highest that is known from elsewhere, 0 for none.

        Raises:
            SourceError: the number cannot be read, and none is known: numbers might repeat.
        """
        try:
            self.taken = max(known_seq, self._read_newest())
        except SourceError as error:
            if not known_seq:
                raise
            log.error("number_unknown meter=%s error=%r exports_say=%d", self._meter, str(error), known_seq)  # noqa: TRY400  (no traceback)
            self.taken = known_seq

    def number(self, seq: int) -> None:
        """Takes a number for ever. Blocks for the disk.

        Raises:
            SourceError: it cannot be written.
        """
        if seq > self.taken or not self._newest.exists():
            seq = max(seq, self.taken)
            self._write(self._newest, f"{seq}\n")
            self.taken = seq

    def mark(self) -> Mark | None:
        """The mark of a meter that was not stopped cleanly."""
        try:
            match = _OPEN.fullmatch(self._mark.read_text(errors="replace"))
        except OSError:
            return None
        return Mark(int(match["since_ns"]), match["boot_id"]) if match else None

    def set_mark(self, mark: Mark) -> None:
        """Notes that the meter counts. Blocks for the disk; that it fails is logged, for counting matters more."""
        if self.mark() == mark:
            return
        try:
            self._write(self._mark, f"since_ns={mark.since_ns} boot_id={mark.boot_id}\n")
        except SourceError as error:
            log.warning("mark_not_written meter=%s error=%r", self._meter, str(error))

    def remove_mark(self) -> None:
        """Notes that the meter was stopped cleanly.

        Raises:
            SourceError: it cannot be removed.
        """
        try:
            self._mark.unlink(missing_ok=True)
        except OSError as error:
            raise _failed(self._mark, "remove", error) from error

    def _read_newest(self) -> int:
        try:
            text = self._newest.read_text(errors="replace")
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise _failed(self._newest, "read", error) from error
        if not text.strip().isdecimal():
            raise SourceError(str(self._newest), "read", "holds no number", "write the newest known seq into it")
        return int(text)

    def _write(self, path: Path, text: str) -> None:
        try:
            path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            replace_file(path, text, lasting=True)
        except OSError as error:
            raise _failed(path, "write", error) from error


def replace_file(path: Path, text: str, *, lasting: bool) -> None:
    """Writes a file, replacing an older one at once; with ``lasting`` it is on disk afterwards.

    Raises:
        OSError: with the name of the file, always: one that only says "no space left" helps nobody.
    """
    new = path.with_name(path.name + ".new")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            if lasting:
                os.fsync(descriptor)
        new.rename(path)
        if lasting:
            sync_directory(path.parent)
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def _failed(path: Path, operation: str, error: OSError) -> SourceError:
    return SourceError(str(path), operation, (error.strerror or str(error)).lower())
