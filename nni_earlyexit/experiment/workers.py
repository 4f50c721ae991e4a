"""The machines of NNI's remote platform: looked at before a search starts, and their results brought home.

NNI itself logs that a worker has another version of NNI, and goes on; a missing package or file fails every trial. And it
copies metrics alone: weights and outputs stay on the worker.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from nni_earlyexit.evaluation import nni_database
from nni_earlyexit.experiment import worker
from nni_earlyexit.utils import files
from nni_earlyexit.utils.paths import expanded
from nni_earlyexit.utils.progress import Say
from nni_earlyexit.utils.provenance import PACKAGES

SSH = "NNI_EARLYEXIT_SSH"
"""The environment variable with a command in place of ``ssh``, options and all."""
KEPT = ("*.json", "*.npz", "*.safetensors", "branches/*/*.safetensors")
"""Files of a trained network and of a bank."""
WAIT_S = 60
"""Seconds that a worker has for its answer."""


def check_workers(machines: Sequence[Mapping[str, Any]], files: Sequence[str], say: Say = lambda line: None) -> None:
    """Look at each machine of ``machineList``; all at once.

    Parameters
    ----------
    machines
        Entries of ``machineList``, canonical, with NNI's names. Those that NNI logs in to with a password are left out.
    files
        Paths of files and folders that a trial reads, and that must be the same on every machine.
    say
        Hears of machines that are left out.

    Raises
    ------
    ValueError
        In one sentence for a machine that cannot be reached, that lacks the package, pip or a file, or has another one.
    """
    here = worker.about(files)
    if missing := [name for name, checksum in here["checksums"].items() if checksum is None]:
        raise ValueError(f"machineList: {missing[0]!r} is not on this machine either")
    for machine in machines:
        if machine.get("password") is not None:
            say(f"{machine['host']} is not looked at, for it has a password; with sshKeyFile it is")
    asked = [machine for machine in machines if machine.get("password") is None]
    with ThreadPoolExecutor(max_workers=16) as pool:
        for machine, there in zip(asked, pool.map(lambda machine: _asked(machine, files), asked), strict=True):
            _compare(str(machine["host"]), here, there)


def files_in(place: object) -> list[str]:
    """The files that must be the same on every machine in a trained network's folder, in a bank, or a file itself.

    Spelt with the path as it is given, which may begin with ``~``. What is not there yet, as a bank at first, has none, and nor
    has what is no path. Outputs of a bank's stages are left out: they may be gigabytes, and are computed again.
    """
    if not isinstance(place, str):
        return []
    path = expanded(place)
    if path.is_file():
        return [place]
    paths = (each for pattern in KEPT for each in path.glob(pattern))
    return sorted(str(Path(place, each.relative_to(path))) for each in paths)


def _asked(machine: Mapping[str, Any], files: Sequence[str]) -> dict[str, Any]:
    """The worker's answer to the question about itself."""
    host = str(machine["host"])
    folder = machine.get("pythonPath")
    python = "python" if folder is None else f"{folder}/python"
    command = [*_ssh(machine), shlex.join([python, "-m", worker.__name__])]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=WAIT_S, check=False, input=json.dumps(list(files))
        )
    except subprocess.TimeoutExpired:
        raise ValueError(f"machineList: {host!r} has not answered for {WAIT_S} s") from None
    except OSError as error:
        raise ValueError(f"machineList: {command[0]!r} is no program that runs: {error.strerror}") from None
    said = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    if done.returncode == 255:  # ssh's own
        raise ValueError(f"machineList: {host!r} cannot be reached: {said}")
    try:
        there = json.loads(done.stdout.splitlines()[-1])
        return {**there, "made_with": dict(there["made_with"]), "checksums": dict(there["checksums"])}
    except (ValueError, LookupError, TypeError):
        raise ValueError(f"machineList: {python!r} on {host!r} cannot run trials: {said}") from None


def _ssh(machine: Mapping[str, Any]) -> list[str]:
    """The command that runs another one on ``machine``."""
    options = ("BatchMode=yes", "ConnectTimeout=20", "ServerAliveInterval=15")
    command = [*shlex.split(os.environ.get(SSH, "ssh")), *(word for option in options for word in ("-o", option))]
    if machine.get("sshKeyFile") is not None:
        command += ["-i", str(machine["sshKeyFile"])]
    return [*command, "-p", str(machine.get("port") or 22), "-l", str(machine["user"]), "--", str(machine["host"])]


def remote_machines(folder: Path) -> list[Mapping[str, Any]]:
    """The machines of the experiment in ``folder``; none of one that ran on this machine, or whose database is not there."""
    services = nni_database.read(folder).config.get("trainingService")
    services = services if isinstance(services, Sequence) else [services]
    remote = [service for service in services if isinstance(service, Mapping) and service.get("platform") == "remote"]
    lists = [service.get("machineList") for service in remote]
    machines = [machine for machines in lists if isinstance(machines, Sequence) for machine in machines]
    return [machine for machine in machines if isinstance(machine, Mapping) and {"host", "user"} <= machine.keys()]


def fetch(folder: Path, say: Say) -> bool:
    """Copy the folders of an experiment's trials from its machines to where those of local trials are.

    Parameters
    ----------
    folder
        The experiment's folder here, which has NNI's name for it.
    say
        Hears of each machine.

    Returns
    -------
    bool
        ``False`` if something could not be had, of which ``say`` has heard; what is there by now stays.
    """
    # NNI keeps them there, wherever this machine keeps its experiments; upload holds the trials' code
    pack = f"tar -C ~/nni-experiments/{shlex.quote(folder.resolve().name)} -c --exclude=upload environments"
    whole = True
    for machine in remote_machines(folder):
        host = machine["host"]
        if machine.get("password") is not None:
            say(f"trials on {host} stay there, for it has a password; with sshKeyFile they are copied")
            whole = False
            continue
        if _copied([*_ssh(machine), pack], folder):
            say(f"copied the trials on {host}")
        else:
            say(f"not everything came from {host}; nni-earlyexit fetch {folder} tries again")
            whole = False
    return whole


def _copied(pack: Sequence[str], folder: Path) -> bool:
    """Unpack the archive that a command writes; ``False`` if either did not end well, or is not there."""
    whole = False
    # times, names and sizes in it may be any: numbers that are none, or too large
    with suppress(OSError, tarfile.TarError, EOFError, ValueError, OverflowError):
        with (
            subprocess.Popen(pack, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as process,
            tarfile.open(fileobj=process.stdout, mode="r|") as archive,
        ):
            whole = all([_unpacked(archive, member, folder) for member in archive])
        whole = whole and process.returncode == 0
    return whole


def _unpacked(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> bool:
    """Unpack a file of an archive that a worker has made, which may be anybody's; ``False`` where it has no place here.

    Only files and folders are, below ``folder/environments``: a link could lead the next file elsewhere.
    """
    path, below = folder / member.name, (folder / "environments").resolve()
    # resolved, for a name may have .. in it, and something on the way may be a link
    if below not in (path.resolve(), *path.resolve().parents) or not (member.isfile() or member.isdir()):
        return False
    if member.isdir():
        files.make_folder(path)
        return True
    content = archive.extractfile(member)
    assert content is not None
    files.make_folder(path.parent)

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            shutil.copyfileobj(content, file)
        os.utime(temporary, (member.mtime, member.mtime))

    files.write_whole(path, write)
    return True


def _compare(host: str, here: Mapping[str, Any], there: Mapping[str, Any]) -> None:
    for name in PACKAGES:
        own, other = (side["made_with"].get(name) for side in (here, there))
        if own != other:  # results would not be comparable, and may not be readable
            raise ValueError(
                f"machineList: {host!r} has {name} {other or '(none)'}, this machine {own or '(none)'}; make both the same"
            )
    if here["sources"] != there.get("sources"):
        own, other = (side["made_with"].get("commit", "an installed one") for side in (here, there))
        raise ValueError(
            f"machineList: {host!r} has another nni-earlyexit of the same version ({other}) than this machine ({own}); make "
            "both the same"
        )
    if there.get("pip") is False:  # an environment of uv's may have none
        raise ValueError(
            f"machineList: {host!r} has no pip, which NNI calls there at every start; 'python -m ensurepip' there brings it"
        )
    for name, checksum in here["checksums"].items():
        if there["checksums"].get(name) != checksum:
            other = "other files" if expanded(name).is_dir() else "another file"
            what = "does not have" if there["checksums"].get(name) is None else f"has {other} than this machine in"
            raise ValueError(f"machineList: {host!r} {what} {name!r}; copy it there")
