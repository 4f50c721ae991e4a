"""A TCP proxy between NNI's manager and all that talk to it, which spoils what a plan says.

The manager is told one port and listens on another one (``elsewhere.js``); the proxy takes the first, so that ``nnictl``,
``nni-earlyexit run``, the tuner and the trials, which know only that one, all come through it.
"""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from support import free_port

FAULTS = ("reset", "reset late", "cut", "500", "html", "delay")
"""``reset``: the request never arrives. ``reset late`` and ``cut``: it does, and half of the answer comes back."""


@dataclass
class Fault:
    """What happens to the next ``times`` requests whose first line matches ``pattern``."""

    pattern: str
    what: str
    times: int = 1
    delay_s: float = 0.0

    def __post_init__(self) -> None:
        assert self.what in FAULTS


@dataclass
class Proxy:
    """Listens on ``front`` as soon as the manager does on ``back``."""

    plan: list[Fault]
    front: int = field(default_factory=free_port)
    back: int = field(default_factory=free_port)
    injected: list[tuple[str, str]] = field(default_factory=list)
    """What was done to which request."""

    def environment(self) -> dict[str, str]:
        """Variables for the process that starts NNI."""
        require = f'--require "{Path(__file__).with_name("elsewhere.js")}"'
        return {"NODE_OPTIONS": require, "FAULTS_FRONT": str(self.front), "FAULTS_BACK": str(self.back)}

    def __enter__(self) -> Proxy:
        self._closing = False
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._tuners: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        self._thread.join()
        for connection in list(self._sockets):
            _reset(connection)

    def left(self) -> list[Fault]:
        """Faults of the plan that were not injected as often as they should be."""
        return [fault for fault in self.plan if fault.times > 0]

    def reset_tuner(self) -> None:
        """Reset the tuner's connection."""
        for connection in self._tuners:
            _reset(connection)
        self.injected.append(("tuner", "reset"))

    def _serve(self) -> None:
        while not self._closing:
            try:
                socket.create_connection(("127.0.0.1", self.back), timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", self.front))
            listener.listen(128)
            listener.settimeout(0.2)
            while not self._closing:
                with suppress(TimeoutError):
                    client, _ = listener.accept()
                    threading.Thread(target=self._handle, args=(client,), daemon=True).start()

    def _handle(self, client: socket.socket) -> None:
        self._sockets.add(client)
        client.settimeout(600)
        with suppress(OSError):
            head, body = _head(client)
            fault = self._next(head.partition(b"\r\n")[0].decode())
            what = None if fault is None else fault.what
            if what == "reset":
                _reset(client)
            elif what == "500":
                client.sendall(_answer("500 Oops", '{"error": "oops"}'))
            elif what == "html":
                client.sendall(_answer("200 OK", "<html>busy</html>"))
            elif b"upgrade: websocket" in head.lower():
                self._pipe(client, head + body)
            else:
                answer = self._ask(head, body)
                half = answer[: len(answer) - 1 - len(answer.partition(b"\r\n\r\n")[2]) // 2]
                if what == "delay" and fault is not None:
                    time.sleep(fault.delay_s)
                client.sendall(half if what in ("reset late", "cut") else answer)
                if what == "reset late":
                    _reset(client)
        client.close()

    def _ask(self, head: bytes, body: bytes) -> bytes:
        """The manager's whole answer. One request a connection, so that each is looked at."""
        with socket.create_connection(("127.0.0.1", self.back), timeout=600) as server:
            self._sockets.add(server)
            server.sendall(re.sub(rb"(?i)\r\nconnection:[^\r]*", b"", head)[:-2] + b"Connection: close\r\n\r\n" + body)
            answer = b""
            while block := server.recv(1 << 16):
                answer += block
        return answer

    def _pipe(self, client: socket.socket, start: bytes) -> None:
        """The tuner's connection, both ways until one of them ends."""
        self._tuners.append(client)
        with socket.create_connection(("127.0.0.1", self.back), timeout=600) as server:
            self._sockets.add(server)
            server.sendall(start)
            back = threading.Thread(target=_one_way, args=(server, client), daemon=True)
            back.start()
            _one_way(client, server)
            back.join()

    def _next(self, line: str) -> Fault | None:
        with self._lock:
            for fault in self.plan:
                if fault.times > 0 and re.search(fault.pattern, line):
                    fault.times -= 1
                    self.injected.append((line, fault.what))
                    return fault
        return None


def _head(client: socket.socket) -> tuple[bytes, bytes]:
    """A request's head with its empty line, and its body."""
    data = b""
    while b"\r\n\r\n" not in data:
        block = client.recv(1 << 16)
        if not block:
            raise OSError("closed")
        data += block
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    while length and len(body) < int(length[1]):
        body += client.recv(1 << 16)
    return head + b"\r\n\r\n", body


def _answer(status: str, body: str) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()


def _one_way(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while block := source.recv(1 << 16):
            target.sendall(block)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def _reset(connection: socket.socket) -> None:
    """Close so that the other side gets ECONNRESET, also when another thread waits for it."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RD)  # sends nothing, and ends a recv() that would keep the socket open
        connection.close()
