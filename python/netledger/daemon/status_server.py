"""The status socket: a Unix stream socket in the runtime directory, served by one thread.

One question per connection, one line long; then the answer, then the end. Nothing that a client does hurts: there are
few of them at a time, a question is short, and who is slow is let go. The thread takes no lock that the loop holds.
What has to wait for the loop or the disk is done in a thread of its own, and the others are answered meanwhile.
"""

import contextlib
import logging
import os
import queue
import selectors
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, final

from netledger.daemon.answers import Later, refused
from netledger.live.shape import REQUEST_BYTES_MAX, SOCKET

CLIENTS_MAX: Final = 16
REQUEST_SECONDS: Final = 5.0
"""How long a client may take to ask."""
STALL_SECONDS: Final = 5.0
"""How long it may take nothing of its answer."""
ANSWER_SECONDS: Final = 30.0
"""How long it may take for all of it."""

WORK_SECONDS: Final = 5.0
"""How long :meth:`StatusServer.close` waits for what is being done."""

_LOOK_SECONDS: Final = 5.0
_REST_SECONDS: Final = 1.0
_BACKLOG: Final = 128
_PIECE_BYTES: Final = 1 << 16
_MODE: Final = 0o660
_STOP: Final = b"\0"
_NEWS: Final = b"\1"
_CREDENTIALS: Final = struct.Struct("3i")  # struct ucred: process, user, group

_log = logging.getLogger(__name__)


class Answerer(Protocol):
    """Who knows the answers."""

    def answer(self, request: bytes) -> bytes | Later:
        """The answer to one line, or who gives it in a thread of its own."""

    def look(self) -> None:
        """Called every few seconds."""


@dataclass(eq=False, slots=True)
class _Client:
    """One connection: it asks until there is an answer, and then reads."""

    channel: socket.socket
    deadline: float
    asked: bytearray = field(default_factory=bytearray)
    answer: memoryview | None = None
    end: float = 0.0


@final
class StatusServer:
    """Serves the socket from :meth:`open` to :meth:`close`.

    Args:
        runtime: the directory; this process alone must have it.
        answerer: asked in the server's thread.
    """

    def __init__(self, runtime: Path, answerer: Answerer) -> None:
        self._runtime = runtime
        self._answerer = answerer
        self._selector = selectors.DefaultSelector()
        self._listener: socket.socket | None = None
        self._inode: int | None = None
        self._clients: list[_Client] = []
        self._rest_until: float | None = None
        self._reader, self._writer = -1, -1
        self._workers: set[threading.Thread] = set()
        self._done: queue.SimpleQueue[tuple[_Client, bytes]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="status", daemon=True)

    def open(self) -> None:
        """Starts to serve. Without a socket counting goes on, and it is tried again."""
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._selector.register(self._reader, selectors.EVENT_READ)
        self._listen()
        self._thread.start()

    def close(self) -> None:
        """Ends the thread and removes the socket; what is being done is answered first. May be called twice."""
        if self._writer < 0:
            return
        end = time.monotonic() + WORK_SECONDS
        with self._lock:
            workers = list(self._workers)
        for worker in workers:
            worker.join(max(0.0, end - time.monotonic()))
        os.write(self._writer, _STOP)
        self._thread.join()
        for client in list(self._clients):
            self._drop(client)
        if self._listener is not None:
            self._unlisten()
            with contextlib.suppress(OSError):
                (self._runtime / SOCKET).unlink()
        self._selector.close()
        with self._lock:
            os.close(self._reader)
            os.close(self._writer)
            self._reader = self._writer = -1

    def _run(self) -> None:
        look_at = 0.0
        while True:
            now = time.monotonic()
            if now >= look_at:
                look_at = now + _LOOK_SECONDS
                self._look()
            ends = [client.deadline for client in self._clients]
            wake_at = min([look_at, *ends, *([] if self._rest_until is None else [self._rest_until])])
            for key, _ in self._selector.select(max(0.0, wake_at - now)):
                if key.fd == self._reader:
                    news = os.read(self._reader, _PIECE_BYTES)
                    self._take_done()
                    if _STOP in news:
                        return
                else:
                    self._serve(key)
            self._expire()

    def _look(self) -> None:
        try:
            self._answerer.look()
        except Exception:  # noqa: BLE001  # the top of a thread: it outlives what nobody thought of
            _log.exception("status_failed")
        if self._listener is not None and self._is_gone():
            self._unlisten()
        if self._listener is None:
            self._listen()

    def _serve(self, key: selectors.SelectorKey) -> None:
        if key.fileobj is self._listener:
            self._accept()
            return
        client = key.data
        # It may have been let go for another one in this very turn.
        if isinstance(client, _Client) and client in self._clients:
            try:
                self._write(client) if client.answer is not None else self._read(client)
            except OSError:  # it has gone away
                self._drop(client)

    def _accept(self) -> None:
        if self._listener is None:
            return
        try:
            channel, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError:
            # Too many open files, say. The listener would be ready for ever, so it is left alone for a while.
            self._selector.unregister(self._listener)
            self._rest_until = time.monotonic() + _REST_SECONDS
            return
        if len(self._clients) >= CLIENTS_MAX:
            # One that has not asked yet makes room, the oldest first; who has asked gets the answer.
            silent = next((client for client in self._clients if client.answer is None), None)
            if silent is None:
                with channel, contextlib.suppress(OSError):
                    channel.settimeout(0)
                    channel.send(refused("too many ask at once", "ask again"))
                return
            self._drop(silent)
        channel.settimeout(0)
        client = _Client(channel, time.monotonic() + REQUEST_SECONDS)
        self._clients.append(client)
        self._selector.register(channel, selectors.EVENT_READ, client)

    def _read(self, client: _Client) -> None:
        piece = client.channel.recv(REQUEST_BYTES_MAX)
        client.asked += piece
        line, newline, _ = client.asked.partition(b"\n")
        if len(line) >= REQUEST_BYTES_MAX:
            answer = refused(f"a question has less than {REQUEST_BYTES_MAX} bytes")
        elif newline:
            found = self._answered(bytes(line))
            if not isinstance(found, bytes):
                self._begin(client, found)
                return
            answer = found
        elif piece:
            return
        else:
            self._drop(client)
            return
        self._selector.modify(client.channel, selectors.EVENT_WRITE, client)
        self._tell(client, answer)

    def _tell(self, client: _Client, answer: bytes) -> None:
        now = time.monotonic()
        client.answer, client.end, client.deadline = memoryview(answer), now + ANSWER_SECONDS, now + STALL_SECONDS
        self._write(client)

    def _begin(self, client: _Client, work: Later) -> None:
        """Has the answer made in another thread, which has the client meanwhile."""
        if len(self._workers) >= CLIENTS_MAX:
            self._selector.modify(client.channel, selectors.EVENT_WRITE, client)
            self._tell(client, refused("too many ask at once", "ask again"))
            return
        self._clients.remove(client)
        self._selector.unregister(client.channel)
        worker = threading.Thread(target=self._work, args=(client, work), name="status work", daemon=True)
        with self._lock:  # who waits for the workers finds none that has not begun
            self._workers.add(worker)
            worker.start()

    def _work(self, client: _Client, work: Later) -> None:
        try:
            answer = work(_user_of(client.channel))
        except Exception:  # noqa: BLE001  # the top of a thread: it outlives what nobody thought of
            _log.exception("status_failed")
            answer = refused("this cannot be answered", "see the log of the daemon")
        with self._lock:
            self._workers.discard(threading.current_thread())
            if self._writer < 0:  # nobody serves any more
                client.channel.close()
                return
            self._done.put((client, answer))
            with contextlib.suppress(BlockingIOError):  # there is news enough
                os.write(self._writer, _NEWS)

    def _take_done(self) -> None:
        while not self._done.empty():
            client, answer = self._done.get()
            self._clients.append(client)
            self._selector.register(client.channel, selectors.EVENT_WRITE, client)
            try:
                self._tell(client, answer)
            except OSError:  # it has gone away
                self._drop(client)

    def _answered(self, request: bytes) -> bytes | Later:
        try:
            return self._answerer.answer(request)
        except Exception:  # noqa: BLE001  # the top of a thread: it outlives what nobody thought of
            _log.exception("status_failed")
            return refused("this cannot be answered", "see the log of the daemon")

    def _write(self, client: _Client) -> None:
        while client.answer:
            try:
                sent = client.channel.send(client.answer[:_PIECE_BYTES])
            except BlockingIOError:
                return
            client.answer = client.answer[sent:]
            client.deadline = min(time.monotonic() + STALL_SECONDS, client.end)
        self._drop(client)

    def _expire(self) -> None:
        now = time.monotonic()
        for client in [client for client in self._clients if client.deadline <= now]:
            self._drop(client)
        if self._rest_until is not None and self._rest_until <= now:
            self._rest_until = None
            if self._listener is not None:
                self._selector.register(self._listener, selectors.EVENT_READ)

    def _drop(self, client: _Client) -> None:
        self._clients.remove(client)
        self._selector.unregister(client.channel)
        client.channel.close()

    def _listen(self) -> None:
        """Makes the socket, in place of what a dead process may have left: the runtime directory is ours alone."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        folder = -1
        try:
            folder = os.open(self._runtime, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            made = f"{SOCKET}.new"
            with contextlib.suppress(FileNotFoundError):
                os.unlink(made, dir_fd=folder)
            # By the descriptor: the name of a socket holds 107 bytes. It listens before it has its name, so that who
            # finds it is answered, and not before it has its mode.
            path = f"/proc/self/fd/{folder}/{made}"
            listener.bind(path)
            os.chmod(path, _MODE)  # noqa: PTH101  # by the descriptor
            with contextlib.suppress(PermissionError):  # not one of this user's groups
                os.chown(path, -1, os.fstat(folder).st_gid)
            listener.listen(_BACKLOG)
            os.rename(made, SOCKET, src_dir_fd=folder, dst_dir_fd=folder)
            self._inode = os.stat(SOCKET, dir_fd=folder).st_ino
        except OSError as error:
            listener.close()
            fields = {"file": self._runtime / SOCKET, "error": (error.strerror or str(error)).lower()}
            _log.error("status_socket_failed", extra={"fields": fields})
            return
        finally:
            if folder >= 0:
                os.close(folder)
        self._listener = listener
        self._selector.register(listener, selectors.EVENT_READ)

    def _unlisten(self) -> None:
        if self._listener is not None:
            if self._rest_until is None:
                self._selector.unregister(self._listener)
            self._rest_until = None
            self._listener.close()
            self._listener = None

    def _is_gone(self) -> bool:
        """Whether somebody has removed the socket, or put another in its place."""
        try:
            return (self._runtime / SOCKET).stat().st_ino != self._inode
        except OSError:
            return True


def _user_of(channel: socket.socket) -> int:
    """Who has connected, as the kernel has noted it then."""
    found = channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(found)[1])
