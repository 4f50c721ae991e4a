"""Machines for NNI's remote platform: SSH servers on this one, each with a home of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from support import eventually, free_port

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")


def trusting(folder: Path) -> str:
    """The ``ssh`` that accepts machines which it does not know, and keeps their keys in ``folder``."""
    return f"ssh -o UserKnownHostsFile={folder / 'known'} -o StrictHostKeyChecking=accept-new -o LogLevel=ERROR"


def own_environment(folder: Path) -> Path:
    """The programs of a new virtual environment, which finds what is installed in this one."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    here = sysconfig.get_path("purelib")
    (packages / "installed.pth").write_text(f"import site; site.addsitedir({here!r})\n")
    return folder / "bin"


@contextmanager
def ssh_worker(
    folder: Path, name: str = "worker", address: str = "127.0.0.1", within: Sequence[str] = ()
) -> Iterator[tuple[dict[str, Any], Path]]:
    """A worker while the context lasts: the entry of a machine for an experiment file, and the home that trials have there.

    ``within`` is the beginning of the command that starts its server, such as that of a network namespace.
    """
    if SSHD is None:
        raise FileNotFoundError("there is no sshd")
    if os.geteuid() == 0:
        with suppress(OSError):
            Path("/run/sshd").mkdir(exist_ok=True)  # without which root's does not start
    keys, home, port = folder / f"keys of {name}", folder / name, free_port()
    keys.mkdir()
    home.mkdir()
    python = own_environment(folder / f"environment of {name}".replace(" ", "-"))
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys / key], check=True)
    config = {
        "Port": port,
        "ListenAddress": address,
        "HostKey": f'"{keys / "host"}"',
        "PidFile": "none",
        "AuthorizedKeysFile": f'"{keys / "user.pub"}"',
        "StrictModes": "no",
        "UsePAM": "no",
        # a tunnel that is dead gives its port back
        "ClientAliveInterval": "2",
        "ClientAliveCountMax": "3",
        "PasswordAuthentication": "no",
        "Subsystem": "sftp internal-sftp",
        # as the README says, pip keeps what is installed
        "SetEnv": f"HOME={home} PIP_NO_INDEX=1 OMP_NUM_THREADS=1",
    }
    (keys / "sshd_config").write_text("".join(f"{field} {value}\n" for field, value in config.items()))
    with (keys / "log").open("wb") as log:
        server = subprocess.Popen([*within, SSHD, "-D", "-e", "-f", keys / "sshd_config"], stderr=log)

    def listens() -> bool:
        assert server.poll() is None, (keys / "log").read_text()
        return "Server listening" in (keys / "log").read_text()

    try:
        eventually(listens)
        machine = {"host": address, "port": port, "user": getpass.getuser(), "sshKeyFile": str(keys / "user")}
        yield {**machine, "pythonPath": str(python)}, home
    finally:
        server.terminate()
        server.wait()
