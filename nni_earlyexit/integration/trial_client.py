"""A trial that lets a process do its work which has imported everything: it hands over what NNI gave it, and waits.

With inherited weights, a trial computes for seconds, and starting Python, torch and NNI costs as many. So the first trial of an
experiment starts a server (:mod:`nni_earlyexit.integration.trial_server`), and every one is a fork of it that has the
environment, the folder, the output and the end of the process that NNI started. Nothing heavy is imported here.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from nni_earlyexit.utils.files import claimed

SERVER = "nni_earlyexit.integration.trial_server"
LOG = ".log"
"""Ending of the file with what a server says."""
STREAMS = (0, 1, 2)
"""Descriptors of input, output and errors."""
LENGTH = struct.Struct("!I")
"""Form of the length in front of a request."""
STATUS = struct.Struct("!i")
"""Form of the answer: an exit code, or less than zero, the number of the signal that ended the trial."""
FAILED = ".failed"
"""Ending of the file that says that there can be no server."""
OWN_OF_A_TRIAL = ("NNI_", "CUDA_VISIBLE_DEVICES")
OF_THE_EXPERIMENT = ("NNI_EXP_ID", "NNI_TRIAL_COMMAND_CHANNEL")
"""How the environment variables begin that differ between trials, and those of them that the server has all the same: by
them it is known as the experiment's, and knows the manager."""


def is_possible() -> bool:
    """``True`` in a trial of NNI on a system that can do it."""
    return hasattr(os, "pidfd_open") and "NNI_TRIAL_COMMAND_CHANNEL" in os.environ


def run(arguments: Sequence[str]) -> int | None:
    """Let the server run the trial with these command line ``arguments``.

    Returns
    -------
    int or None
        The exit code, or less than zero, the number of the signal that ended it; ``None`` if there is no server and none
        could be started, or if it was lost.
    """
    with suppress(OSError), _connection(arguments) as connection:
        request = json.dumps({"directory": os.getcwd(), "environment": dict(os.environ)}).encode()
        # the streams travel with the first bytes
        socket.send_fds(connection, [LENGTH.pack(len(request))], STREAMS)
        connection.sendall(request)
        answer = connection.recv(STATUS.size, socket.MSG_WAITALL)
        if len(answer) == STATUS.size:
            (status,) = STATUS.unpack(answer)
            return int(status)
    print("nni-earlyexit: this trial starts Python and torch for itself, as --start cold does", file=sys.stderr)
    return None


def _connection(arguments: Sequence[str]) -> socket.socket:
    """A connection to the server of these ``arguments``, which is started if there is none; ``OSError`` without one."""
    path = _folder() / _key(arguments)
    if path.with_suffix(FAILED).exists():
        raise ConnectionRefusedError(f"{path.with_suffix(LOG)} says why there is no server")
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with claimed(path.parent) as folder:  # one trial starts it
            try:
                connection.connect(address(folder, path))
            except OSError:
                _start(path, arguments)
                connection.connect(address(folder, path))
    except BaseException:
        connection.close()
        raise
    return connection


def address(folder: int, path: Path) -> str:
    """The socket ``path`` in the open ``folder``, as a name of at most 108 bytes, which is all that a socket may have."""
    return f"/proc/self/fd/{folder}/{path.name}"


def _start(path: Path, arguments: Sequence[str]) -> None:
    """Start the server and wait until it listens; what it imports, it imports later."""
    path.unlink(missing_ok=True)
    with path.with_suffix(LOG).open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", SERVER, str(path), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env=_shared(os.environ),
            start_new_session=True,
        )
    assert server.stdout is not None
    with server.stdout:
        server.stdout.readline()  # it listens, or has ended


def _shared(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environment.items()
        if name in OF_THE_EXPERIMENT or not name.startswith(OWN_OF_A_TRIAL)
    }


def _folder() -> Path:
    """The folder of this user's servers, which nobody else can read."""
    folder = Path(tempfile.gettempdir()) / f"nni-earlyexit-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    about = folder.lstat()
    if about.st_uid != os.getuid() or about.st_mode & 0o077 or folder.is_symlink():
        raise PermissionError(f"{folder} is not this user's alone")
    return folder


def _key(arguments: Sequence[str]) -> str:
    """A short name for all that the trials of a server have in common."""
    common = [os.environ.get("NNI_EXP_ID"), os.environ["NNI_TRIAL_COMMAND_CHANNEL"].partition("/env/")[0]]
    common += [sys.executable, __file__, os.getcwd(), *arguments]
    return hashlib.sha256(json.dumps(common).encode()).hexdigest()[:24]
