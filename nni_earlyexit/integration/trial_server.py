"""The process that trials are forked from: ``python -m nni_earlyexit.integration.trial_server SOCKET ARGUMENTS``.

It has imported everything, read the data and the supernet, and evaluated one network. A trial is a fork of it, so that one that
crashes takes no other with it; it ends with the process that NNI started for it, and the server ends when NNI's manager is gone
or nobody has come for a while. It computes in one thread, because a fork has only the thread that forked, and never on a GPU,
which cannot be forked.
"""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from nni_earlyexit.integration.trial_client import FAILED, LENGTH, LOG, STATUS, STREAMS, address
from nni_earlyexit.utils import garbage

IDLE_S = 300.0
"""Seconds without a trial after which the server ends."""
LOOK_S = 1.0
"""Seconds between two looks at whether NNI's manager is there."""
REQUEST_S = 10.0
"""Seconds that a trial has for its request."""
PR_SET_PDEATHSIG = 1

RunTrial = Callable[[], None]


class Closable(Protocol):
    """A socket, or what waits for some."""

    def close(self) -> None:
        """Give it back."""


class _Trial(NamedTuple):
    """A trial that runs here, and the connection to the process that NNI started for it."""

    process: int
    handle: int
    connection: socket.socket


def main() -> None:
    """Serve trials."""
    garbage.search_less_often()
    path, arguments = Path(sys.argv[1]), sys.argv[2:]
    folder = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(address(folder, path))
        listener.listen(128)
        try:
            # who started it waits for this line; nothing else may be written there
            os.write(1, b"listens\n")
            os.dup2(2, 1)
            serve(listener, _work(path, arguments))
            path.with_suffix(LOG).unlink(missing_ok=True)  # kept where something went wrong
        finally:
            path.unlink(missing_ok=True)


def _work(path: Path, arguments: Sequence[str]) -> RunTrial:
    """The work of a trial; where it cannot be prepared, no other server is started for it."""
    try:
        return _prepared(arguments)
    except BaseException:
        path.with_suffix(FAILED).touch()
        raise


def _prepared(arguments: Sequence[str]) -> RunTrial:
    """The work of a trial, with everything that it needs in memory."""
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"  # looking for a GPU in the usual way would take hold of it
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import torch

    torch.set_num_threads(1)
    from nni_earlyexit.integration.warm_trial import prepare

    return prepare(arguments)


def serve(listener: socket.socket, run_trial: RunTrial, idle_s: float = IDLE_S) -> None:
    """Fork a trial for each connection to ``listener``, until there is nothing to do any more."""
    trials: dict[int, _Trial] = {}
    last, manager = time.monotonic(), os.environ.get("NNI_TRIAL_COMMAND_CHANNEL")
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select(LOOK_S):
                if key.fileobj is listener:
                    try:
                        connection, _ = listener.accept()
                    except OSError:  # too many files are open, say
                        continue
                    with suppress(OSError, ValueError, LookupError, TypeError):
                        opened: list[Closable] = [listener, selector, *(trial.connection for trial in trials.values())]
                        trial = _fork(connection, opened, run_trial)
                        trials[trial.process] = trial
                        selector.register(connection, selectors.EVENT_READ, trial)
                        selector.register(trial.handle, selectors.EVENT_READ, trial)
                        continue
                    connection.close()
                elif key.fileobj == key.data.handle:
                    _end(trials.pop(key.data.process), selector)
                elif key.data.process in trials:  # the process that NNI started is gone
                    _kill(key.data.process)
                    selector.unregister(key.fileobj)
            if trials:
                last = time.monotonic()
            elif time.monotonic() - last > idle_s or (manager is not None and not _answers(manager)):
                return


def _kill(process: int) -> None:
    """End a trial and what it has started."""
    try:
        os.killpg(process, signal.SIGKILL)
    except ProcessLookupError:  # it has no group of its own yet
        os.kill(process, signal.SIGKILL)


def _fork(connection: socket.socket, opened: Sequence[Closable], run_trial: RunTrial) -> _Trial:
    """Start the trial of ``connection``; some error if what comes is no request. What the server has ``opened`` stays here."""
    connection.settimeout(REQUEST_S)
    head, streams, _, _ = socket.recv_fds(connection, LENGTH.size, len(STREAMS))
    try:
        if len(streams) != len(STREAMS) or len(head) != LENGTH.size:
            raise ValueError("no request")
        (length,) = LENGTH.unpack(head)
        with connection.makefile("rb") as sent:
            request = json.loads(sent.read(length))
        if not isinstance(request["environment"], dict):
            raise TypeError("no request")
        connection.settimeout(None)
        server = os.getpid()
        process = os.fork()
        if process == 0:
            _be_trial(request, streams, server, run_trial, [*opened, connection])
    finally:
        for stream in streams:
            os.close(stream)
    try:
        return _Trial(process, os.pidfd_open(process), connection)
    except OSError:  # who started the trial does the work then
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        raise


def _be_trial(
    request: dict[str, dict[str, str]],
    streams: Sequence[int],
    server: int,
    run_trial: RunTrial,
    not_ours: Sequence[Closable],
) -> None:
    """Be the process that NNI started; it never returns."""
    code = 1
    try:
        # it ends with the server, whose end lets the process that NNI started do the work again
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != server:
            os._exit(1)
        os.setsid()
        for opened in not_ours:
            opened.close()
        for stream, number in zip(streams, STREAMS, strict=True):
            os.dup2(stream, number)
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(str(request["directory"]))
        run_trial()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        for output in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                output.flush()
        os._exit(code)


def _end(trial: _Trial, selector: selectors.BaseSelector) -> None:
    """Say how ``trial`` has ended, and forget it."""
    _, status = os.waitpid(trial.process, 0)
    with suppress(OSError):
        trial.connection.sendall(STATUS.pack(os.waitstatus_to_exitcode(status)))
    for opened in (trial.connection, trial.handle):
        with suppress(KeyError, ValueError):
            selector.unregister(opened)
    trial.connection.close()
    os.close(trial.handle)


def _answers(channel: str) -> bool:
    """``True`` while somebody listens where the manager does."""
    parts = urlsplit(channel)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 80), timeout=LOOK_S).close()
    except ConnectionRefusedError:
        return False
    except OSError:  # busy
        return True
    return True


if __name__ == "__main__":
    main()
