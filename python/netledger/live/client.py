"""Asks a running daemon. One connection per question; each call blocks until it has answered, or too long."""

import contextlib
import grp
import json
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, TypeVar, final

from netledger.errors import LiveError, NotRunningError
from netledger.live.assigned import ASSIGN, AssignedFact
from netledger.live.counters import CounterRow, CountersHead, LiveCounters
from netledger.live.shape import REQUEST_BYTES_MAX, SOCKET, TOP_DEFAULT, DaemonStatus, LiveTable, Row, TableHead

_ANSWER_BYTES_MAX: Final = 64 << 20
_PIECE_BYTES: Final = 1 << 16
_Shape = TypeVar("_Shape")


@final
class Client:
    """Cheap to make; holds nothing open. Safe to use from several threads.

    Args:
        runtime: the daemon's runtime directory.
        timeout_seconds: how long it may be silent.
    """

    def __init__(self, runtime: Path, *, timeout_seconds: float = 10.0) -> None:
        self._runtime = runtime
        self._timeout_seconds = timeout_seconds

    def status(self) -> DaemonStatus:
        """How the daemon is.

        Raises:
            NotRunningError: none runs here.
            LiveError: it may not be asked, or does not answer.
        """
        head, rest = self._ask({"get": "status"})
        if rest:
            raise self._odd("there is more than was asked for")
        return self._understood(DaemonStatus, head, "status")

    def table(self, meter: str | None = None, *, top: int = TOP_DEFAULT, sort: str = "bytes") -> LiveTable:
        """The greatest rows of a meter's open interval; without a name, of the only meter.

        Raises:
            NotRunningError, LiveError: as :meth:`status`; there is no such meter; ``top`` or ``sort`` is refused.
        """
        request: dict[str, str | int] = {"get": "table", "top": top, "sort": sort}
        head, rest = self._ask(request if meter is None else {**request, "meter": meter})
        said = self._understood(TableHead, head, "table")
        try:
            rows: tuple[Row, ...] = tuple(json.loads(line) for line in rest)
        except ValueError as error:
            raise self._odd(str(error)) from error
        if len(rows) != said.rows_shown:
            raise self._odd(f"{len(rows)} rows came of {said.rows_shown}")
        return LiveTable(head=said, rows=rows)

    def counters(self) -> LiveCounters:
        """The named counters of the kernel, where the daemon runs.

        Raises:
            NotRunningError, LiveError: as :meth:`status`; the kernel refuses.
        """
        head, rest = self._ask({"get": "counters"})
        said = self._understood(CountersHead, head, "counters")
        try:
            rows = tuple(CounterRow(**json.loads(line)) for line in rest)
        except (ValueError, TypeError) as error:
            raise self._odd(str(error)) from error
        if len(rows) != said.counters_told:
            raise self._odd(f"{len(rows)} counters came of {said.counters_told}")
        return LiveCounters(head=said, rows=rows)

    def assign(
        self,
        target: str,
        subject: str | None,
        *,
        start: str | None = None,
        end: str | None = None,
        store: str | None = None,
        of: str | None = None,
    ) -> AssignedFact:
        """Has the daemon keep a fact. Blocks until the open intervals are cut where they are to be, and it is durable.

        Without ``subject`` it is nobody's; without ``start`` it begins now. Times are RFC 3339 in UTC. With ``store``
        it is refused where the daemon keeps another one. With ``of`` nothing is done where it is not that subject's.

        Raises:
            NotRunningError, LiveError: as :meth:`status`; the daemon refuses.
        """
        wish = {"do": ASSIGN, "target": target, "subject": subject, "from": start, "to": end, "store": store}
        wish["of"] = of
        head, rest = self._ask({key: value for key, value in wish.items() if value is not None})
        if rest:
            raise self._odd("there is more than was asked for")
        return self._understood(AssignedFact, head, "assigned")

    def _ask(self, request: Mapping[str, str | int]) -> tuple[bytes, list[bytes]]:
        """The first line of the answer, and the others."""
        message = json.dumps(request, ensure_ascii=False).encode() + b"\n"
        if len(message) > REQUEST_BYTES_MAX:
            raise self._odd("so long a question is refused")
        with self._connected() as channel:
            try:
                with contextlib.suppress(BrokenPipeError):  # a refusal needs no question
                    channel.sendall(message)
                answer = b"".join(_pieces(channel))
            except BlockingIOError as error:
                raise self._too_late() from error
            except OSError as error:
                raise LiveError(str(self._path), "ask", (error.strerror or str(error)).lower()) from error
        if not answer.endswith(b"\n"):
            raise self._odd("it ended in the middle")
        head, *rest = answer.splitlines()
        return head, rest

    @contextlib.contextmanager
    def _connected(self) -> Iterator[socket.socket]:
        with contextlib.ExitStack() as stack:
            try:
                folder = os.open(self._runtime, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                stack.callback(os.close, folder)
                channel = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC))
                # By the kernel and not by Python, whose timeout would make a connect fail where it has to wait.
                limit = struct.pack("ll", int(self._timeout_seconds), int(self._timeout_seconds % 1 * 1_000_000))
                channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
                channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
                # By the descriptor: the name of a socket holds 107 bytes, and directories have longer ones.
                channel.connect(f"/proc/self/fd/{folder}/{SOCKET}")
            except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as error:
                cause = f"no netledger runs here ({self._runtime})"
                hint = "start it: systemctl start netledger, or netledger run; or name its configuration by --config"
                raise NotRunningError("status", "", cause, hint) from error
            except BlockingIOError as error:
                raise self._too_late() from error
            except PermissionError as error:
                raise LiveError(str(self._path), "open", "permission denied", self._who_may()) from error
            except OSError as error:
                raise LiveError(str(self._path), "open", (error.strerror or str(error)).lower()) from error
            yield channel

    def _understood(self, shape: type[_Shape], line: bytes, name: str) -> _Shape:
        from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415  # to ask must not wait for it

        try:
            answer = json.loads(line)
            if isinstance(answer, dict) and isinstance(refusal := answer.get("error"), dict):
                hint = refusal.get("hint")
                raise LiveError("status", "", str(refusal.get("why")), None if hint is None else str(hint))
            return TypeAdapter(shape).validate_python(answer[name])
        except (ValueError, TypeError, LookupError, ValidationError) as error:
            raise self._odd(str(error)) from error

    def _too_late(self) -> LiveError:
        return LiveError(str(self._path), "ask", "no answer in time", "is the machine overloaded? ask again")

    def _odd(self, cause: str) -> LiveError:
        return LiveError(str(self._path), "understand", cause, "is the daemon of another version? restart it")

    @property
    def _path(self) -> Path:
        return self._runtime / SOCKET

    def _who_may(self) -> str:
        """Whom the directory lets in."""
        try:
            group = grp.getgrgid(self._runtime.stat().st_gid).gr_name
        except (OSError, KeyError):
            return "run it as root"
        return "run it as root" if group == "root" else f"run it as root, or as a member of group {group}"


def _pieces(channel: socket.socket) -> Iterator[bytes]:
    total = 0
    # Reset: it has said all it had to say, without having read all that was asked.
    with contextlib.suppress(ConnectionResetError):
        while piece := channel.recv(_PIECE_BYTES):
            total += len(piece)
            if total > _ANSWER_BYTES_MAX:
                raise OSError("the answer has no end")
            yield piece
