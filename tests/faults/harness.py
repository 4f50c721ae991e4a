"""Faults injected into real searches, again and again: what was lost, what ran twice, how long until it went on.

    python tests/faults/harness.py [--times 6] [--each 3] [FAULT ...]

A search is started with ``nni-earlyexit run``: real manager, tuner and trials. At a random moment the fault is injected. The
search then ends because of it, or goes on and is stopped with ``nnictl stop`` a little later. Then it is resumed
(``nni-earlyexit resume``, which runs ``nnictl resume``), and the fault comes again, ``--each`` times in a search, which must
then come to its end. A line per search, and with ``--results FILE`` a JSON file, to whose rows those of earlier runs belong.

A finished trial is one whose network is stored. It is lost if at the end it is not among the trials of the front or the
strategy does not know its result, and has run twice if it was trained again, or a second trial trained its network. Where its
own file was damaged, which is that fault, it is lost unless another trial has trained its network once. Remarks are exit
codes, failed trials and processes that should not be. Time to go on is that from the fault (for a fault in a stored file: from
the resume) until the next trial has finished.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1] / "end_to_end"), str(Path(__file__).parents[1] / "data")]

import psutil
from nni_earlyexit import search_spaces
from nni_earlyexit.evaluation import nni_database, record
from nni_earlyexit.evaluation.trial_folders import trial_folder
from nni_earlyexit.experiment.manager import Manager
from nni_earlyexit.integration import assessor, nni_processes
from nni_earlyexit.search import checkpoint
from nni_earlyexit.search.domain import key
from proxy import Fault as Spoilt
from proxy import Proxy
from support import Running, eventually, free_port, launch, left_behind, nnictl, own_space, start_program

ENOUGH = 1000
"""Trials that a search would make, so that none ends before it is stopped."""
MORE = 6
"""Trials after the last resume, with which it comes to its end."""
FAULTY = range(3, ENOUGH, 5)
"""Numbers of the trials that do something else, where that is the fault."""
TRIAL = "python -m nni_earlyexit.trial --epochs 1 --threads 1 --max-avg-macs 600k --start warm"
RESUMED = "--- resumed\n"
BANKED = (".safetensors", ".npz", ".npy", ".json")
"""Endings of a bank's files, which are made again when they are damaged."""


class Search:
    """A search that runs, and what it has finished."""

    def __init__(self, folder: Path, variables: dict[str, str], proxied: bool, **changes: Any) -> None:
        self.folder, self.rng = folder, random.Random()
        self._variables = variables  # which it is resumed with, too
        self.proxy = _running_proxy() if proxied else None
        given = {"trialCommand": TRIAL, "maxTrialNumber": ENOUGH, "maxExperimentDuration": None, **changes}
        self.said: list[str] = []
        self.failures = 0  # that were waited for
        self.damaged: dict[str, str] = {}  # trials whose own files were damaged, and their networks
        self.port, through = self._way()
        self._follow(launch(folder, self.port, variables | through, **given))
        self.wait(lambda: any("web UI" in line for line in self.said))
        (self.manager,) = Manager.all_from(folder / "experiment.yml")

    def _way(self) -> tuple[int, dict[str, str]]:
        """The port that everybody knows, and the variables with which the manager is behind it."""
        return (free_port(), {}) if self.proxy is None else (self.proxy.front, self.proxy.environment())

    def close(self) -> None:
        """End what is left of it."""
        Manager(self.manager.id, self.port).stop()
        if self.ended() is None:
            self.process.kill()
        self.process.wait()
        if self.proxy is not None:
            self.proxy.__exit__(None, None, None)

    def _follow(self, process: subprocess.Popen[str]) -> None:
        """Read what the process says, so that it never waits for a reader."""
        assert process.stdout is not None
        stdout = process.stdout
        self.process = process
        threading.Thread(target=lambda: self.said.extend(stdout), daemon=True).start()

    def wait(self, condition: Callable[[], object], seconds: float = 400) -> None:
        """Wait for ``condition``; ``AssertionError`` with what the search said if it does not come to pass."""
        try:
            eventually(condition, seconds)
        except TimeoutError:
            raise AssertionError("".join(self.said)) from None

    def wait_for_more(self, trials: int) -> None:
        """Wait until so many more trials have finished."""
        enough = len(self.finished()) + trials
        self.wait(lambda: len(self.finished()) >= enough)

    @property
    def experiment(self) -> Path:
        """The experiment's folder."""
        return Path(os.path.realpath(next(self.folder.glob("**/nni/_latest"))))

    def finished(self) -> dict[str, int]:
        """When each stored network was stored."""
        stored: dict[str, int] = {}
        for path in self.folder.glob("**/nni/_latest/environments/*/trials/*/trial.json"):
            stored[path.parent.name] = path.stat().st_mtime_ns
        return stored

    def kill(self, *whats: str) -> None:
        """Kill ``run``, or processes that belong to the experiment, as ``kill -9`` does."""
        for what in whats:
            if what == "run":
                os.kill(self.process.pid, signal.SIGKILL)
            elif what == "all of NNI's":
                for process in nni_processes.of_experiment(self.manager.id):
                    with suppress(psutil.NoSuchProcess):  # a trial that has just ended
                        process.kill()
            else:
                trial = self._running_trial() if what in ("trial", "fork") else None
                Running(self.manager, self.experiment).kill(what, trial if what == "trial" else None)

    def _running_trial(self) -> str:
        def running() -> list[str]:
            return [
                trial["trialJobId"]
                for trial in self.manager.trials()
                if trial["status"] == "RUNNING" and trial["trialJobId"] not in self.finished()
            ]

        self.wait(running)
        return running()[0]

    def failed(self) -> set[str]:
        """Trials that have failed, also when the search has ended."""
        return {trial for trial, job in nni_database.load(self.experiment).jobs.items() if job.state == "FAILED"}

    def ended(self) -> int | None:
        """The exit code of ``run``, if it has ended."""
        return self.process.poll()

    def said_since_resume(self) -> list[str]:
        """Lines of the process since it was resumed last."""
        return self.said if RESUMED not in self.said else self.said[len(self.said) - self.said[::-1].index(RESUMED) :]

    def resume(self, last: bool = False) -> None:
        """Go on with what was stopped, or what is left; for the last time, to the end."""
        if any(manager.id == self.manager.id for manager in nni_processes.managers()):
            nnictl("stop", self.manager.id)
        self.wait(lambda: self.ended() is not None)
        if self.proxy is not None:
            self.proxy.__exit__(None, None, None)
            self.proxy = _running_proxy()
        self.port, through = self._way()
        arguments = ["resume", str(self.experiment), "--port", str(self.port)]
        arguments += ["--results", str(self.folder / "results")]
        self.said.append(RESUMED)
        self._follow(start_program(arguments, self._variables | through))
        self.wait(lambda: any("web UI" in line for line in self.said_since_resume()) or self.ended() is not None)
        if self.ended() is None:
            self.manager = Manager(self.manager.id, self.port)
        if last and self.ended() is None:
            nnictl("update", "trialnum", self.manager.id, "--value", str(len(self.manager.trials()) + MORE))


def _running_proxy() -> Proxy:
    proxy = Proxy([])
    proxy.__enter__()
    return proxy


@dataclass
class Fault:
    """Something that goes wrong.

    Attributes
    ----------
    inject
        Does it to a search.
    ends
        ``True`` if the search ends because of it.
    while_stopped
        ``True`` for a stored file that is damaged between stop and resume.
    changes, variables
        Of the experiment file, and of the environment of all its processes.
    failing
        Trials that fail at most each time, because that is the fault.
    faulty
        ``True`` if the :data:`FAULTY` trials fail, because that is the fault.
    proxied
        ``True`` if all processes talk to the manager through a proxy.
    """

    inject: Callable[[Search], object]
    ends: bool = False
    while_stopped: bool = False
    changes: Callable[[Path], dict[str, Any]] = lambda folder: {}
    variables: Callable[[Path], dict[str, str]] = lambda folder: {}
    failing: int = 0
    faulty: bool = False
    proxied: bool = False


def faulty(does: str, arguments: str = "--trial-timeout 30s") -> Fault:
    """Trials of which some do something else, and fail."""
    return Fault(
        _another_failed,
        changes=lambda folder: own_space(folder, {str(number) for number in FAULTY}, does, f"{TRIAL} {arguments}"),
        variables=lambda folder: {"PYTHONPATH": str(folder)},
        faulty=True,
    )


def _another_failed(search: Search) -> None:
    """Wait until as many trials have failed as times were asked for."""
    search.failures += 1
    search.wait(
        lambda: sum(trial["status"] == "FAILED" for trial in search.manager.trials()) >= search.failures,
    )


def spoil(*plan: Spoilt) -> Callable[[Search], object]:
    """Spoil requests of all processes to the manager."""

    def inject(search: Search) -> None:
        assert search.proxy is not None
        search.proxy.plan += [Spoilt(each.pattern, each.what, each.times, each.delay_s) for each in plan]
        search.wait(lambda: search.proxy is not None and search.proxy.left() == [])

    return inject


def _reset_tuner(search: Search) -> None:
    assert search.proxy is not None
    search.proxy.reset_tuner()


def _clock(folder: Path) -> dict[str, str]:
    (folder / "clock").write_text("0")
    library, source = folder / "clock.so", Path(__file__).with_name("clock.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "CLOCK_OFFSET_FILE": str(folder / "clock")}


def jump(seconds: int) -> Callable[[Search], object]:
    """Move the clock of all processes."""

    def inject(search: Search) -> None:
        clock = search.folder / "clock"
        clock.write_text(str(int(clock.read_text()) + seconds))

    return inject


def _fill_disk(search: Search) -> None:
    """Fill the disk, until the search has ended of it; then there is room again."""
    filler = search.folder / "small" / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while search.ended() is None:
            file.write(b"x" * 4096)

    def filled() -> bool:  # what is deleted meanwhile makes room
        with filler.open("ab", buffering=0) as file, suppress(OSError):
            file.write(b"x" * 4096)
        return search.ended() is not None

    search.wait(filled)
    filler.unlink()


def _small_disk(folder: Path) -> dict[str, Any]:
    small = folder / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(small)], check=True)
    return {"experimentWorkingDirectory": str(small / "nni")}


def damage(rng: random.Random, path: Path) -> None:
    """Cut the file, turn a bit of it, or fill a part with zeros, as disks do."""
    sound = path.read_bytes()
    while path.read_bytes() == sound:  # zeros in the place of zeros
        _damage(rng, path)


def _damage(rng: random.Random, path: Path) -> None:
    content = bytearray(path.read_bytes())
    at = rng.randrange(len(content))
    kind = rng.randrange(3)
    if kind == 0:
        del content[at:]
    elif kind == 1:
        content[at] ^= 1 << rng.randrange(7)
    else:
        content[at : at + 512] = bytes(len(content[at : at + 512]))
    path.write_bytes(bytes(content))


def _damage_state(search: Search) -> None:
    damage(search.rng, search.experiment / "checkpoint" / checkpoint.FILE)


def _damage_halving(search: Search) -> None:
    damage(search.rng, search.experiment / "checkpoint" / assessor.FILE)


def _damage_record(search: Search) -> None:
    whole = sorted(search.finished().keys() - search.damaged.keys())
    trial = search.rng.choice(whole)
    search.damaged[trial] = _sample(search, trial)
    path = search.rng.choice(
        [trial_folder(search.experiment, trial) / name for name in (record.SUMMARY, *record.FILES)]
    )
    damage(search.rng, path)


def _damage_cache(search: Search) -> None:
    damage(
        search.rng, search.rng.choice(sorted(path for path in (search.folder / "cache").rglob("*") if path.is_file()))
    )


def _damage_bank(search: Search) -> None:
    bank = search.folder / "bank"
    damage(search.rng, search.rng.choice(sorted(path for path in bank.rglob("*") if path.suffix in BANKED)))


def _damage_supernet(search: Search) -> None:
    """Damage the supernet of a search, see that this does not go on with it, and put the sound one back."""
    path = search.folder / "supernet.safetensors"
    sound = path.read_bytes()
    before = search.finished(), search.failed()
    damage(search.rng, path)
    search.resume()
    search.wait(lambda: search.ended() is not None)
    said = "".join(search.said_since_resume())
    assert search.ended() == 2, said
    assert "weights: " in said, said
    assert "supernet.safetensors' is damaged" in said, said
    assert (search.finished(), search.failed()) == before
    path.write_bytes(sound)


def _with_bank(folder: Path) -> dict[str, Any]:
    from nni_earlyexit.evaluation.one_network import choose_sample, train_one
    from nni_earlyexit.training.settings import Settings

    digits = search_spaces.create("digits")
    settings = Settings.from_options(epochs=2, threads=1, tensorboard=False)
    train_one(digits, choose_sample(digits, "smallest", 0), settings, folder / "backbone", lambda line: None)
    space = search_spaces.create("trained", folder=str(folder / "backbone"))
    bank = ["--bank", str(folder / "bank"), "--epochs", "2", "--threads", "1", "--start", "warm"]
    return {
        "trialCommand": shlex.join(["python", "-m", "nni_earlyexit.trial", *bank]),
        "searchSpaceFile": None,
        "searchSpace": json.loads(json.dumps(space.search_space())),
        "tuner": {"name": "EarlyExit"},
    }


def _with_supernet(folder: Path) -> dict[str, Any]:
    from nni_earlyexit.data.settings import DataSettings
    from nni_earlyexit.supernet.learning import make_supernet
    from nni_earlyexit.training.recipe import Recipe

    path = folder / "supernet.safetensors"
    make_supernet(search_spaces.create("digits"), DataSettings(), Recipe(epochs=2, threads=1), path)
    return {"trialCommand": f"{TRIAL} --weights {path}"}


def _with_halving(folder: Path) -> dict[str, Any]:
    command = "python -m nni_earlyexit.trial --epochs 4 --threads 1 --start warm"
    return {
        "trialCommand": command,
        "assessor": {"name": "EarlyExitHalving", "classArgs": {"epochs": 4, "factor": 2}},
    }


def _with_images(folder: Path) -> dict[str, Any]:
    from images import class_folders

    class_folders(folder / "images", classes=tuple("abcdefghij"), count=30)
    return {"trialCommand": f"{TRIAL} --data folder:{folder / 'images'}"}


KILLED = {
    "a trial": Fault(lambda search: search.kill("trial"), failing=1),
    "what a trial is forked to": Fault(lambda search: search.kill("fork"), failing=1),
    "what trials are forked from": Fault(lambda search: search.kill("server")),
    "the tuner": Fault(lambda search: search.kill("tuner"), ends=True),
    "NNI's manager": Fault(lambda search: search.kill("manager"), ends=True),
    "run": Fault(lambda search: search.kill("run")),
    "everything": Fault(lambda search: search.kill("run", "all of NNI's"), ends=True),
}
FAULTS = {
    **{f"kill -9 of {name}": fault for name, fault in KILLED.items()},
    "connections reset": Fault(
        spoil(
            Spoilt(r"GET .*/trial-jobs ", "reset", times=3),
            Spoilt(r"PUT /env/.*", "reset late", times=2),
            Spoilt(r"GET .*/check-status", "reset late", times=2),
        ),
        proxied=True,
    ),
    "answers 500": Fault(
        spoil(Spoilt(r"GET .*/trial-jobs ", "500", times=3), Spoilt(r"PUT /env/.*", "500", times=2)), proxied=True
    ),
    "answers after 25 s": Fault(spoil(Spoilt(r"GET .*/trial-jobs ", "delay", delay_s=25)), proxied=True),
    "no answer for 45 s": Fault(
        spoil(Spoilt(r"GET .*/trial-jobs ", "delay", delay_s=45), Spoilt(r"PUT /env/.*", "delay", delay_s=45)),
        proxied=True,
    ),
    "the tuner's connection reset": Fault(_reset_tuner, proxied=True),
    "disk full": Fault(_fill_disk, ends=True, changes=_small_disk, failing=2),
    "a trial hangs": faulty("time.sleep(600)"),
    "a trial prints for ever": faulty("while True: print('x' * 10_000)"),
    "a trial eats memory": faulty(
        "self.__dict__.setdefault('eaten', []).extend(b'x' * 50_000_000 for _ in range(200))", "--trial-memory 3G"
    ),
    "a trial returns NaN": faulty("next(network.parameters()).data.fill_(torch.nan)", ""),
    "the clock jumps an hour ahead": Fault(jump(3600), variables=_clock),
    "the clock jumps an hour back": Fault(jump(-3600), variables=_clock),
    "strategy's state damaged": Fault(_damage_state, while_stopped=True),
    "halving's state damaged": Fault(_damage_halving, while_stopped=True, changes=_with_halving),
    "a stored trial damaged": Fault(_damage_record, while_stopped=True),
    "bank damaged": Fault(_damage_bank, while_stopped=True, changes=_with_bank),
    "supernet damaged": Fault(_damage_supernet, while_stopped=True, changes=_with_supernet),
    "cache of images damaged": Fault(_damage_cache, while_stopped=True, changes=_with_images),
}


@dataclass
class Outcome:
    """What came of a fault in one search."""

    times: int
    finished: int
    lost: int
    twice: int
    seconds: list[float]
    remarks: list[str] = field(default_factory=list)


def inject(name: str, folder: Path, times: int = 1) -> Outcome:
    """One search with a fault that comes so many times; what came of it."""
    fault = FAULTS[name]
    folder.mkdir()
    variables = {**fault.variables(folder), "XDG_CACHE_HOME": str(folder / "cache")}
    changes = fault.changes(folder)
    search = None
    try:
        search = Search(folder, variables, fault.proxied, **changes)
        return _injected(fault, search, times)
    finally:
        if search is not None:
            search.close()
        if (folder / "small").is_mount():
            subprocess.run(["umount", "--lazy", str(folder / "small")], check=True)


def _injected(fault: Fault, search: Search, times: int) -> Outcome:
    finished, again, seconds, remarks = 0, 0, [], []
    before: dict[str, int] = {}
    for time_ in range(1, times + 1):
        search.wait_for_more(search.rng.randrange(2, 5))
        time.sleep(search.rng.uniform(0, 2))  # any moment of a trial
        if fault.while_stopped:
            nnictl("stop", search.manager.id)
            search.wait(lambda: search.ended() is not None)
        now = search.finished()
        again += _changed(before, now)
        finished += len(now) - len(before)
        start = time.monotonic()
        fault.inject(search)
        before |= now if not fault.while_stopped else search.finished()  # as damaged files have another time
        if fault.ends or fault.while_stopped:
            search.wait(lambda: search.ended() is not None)
            start = start if fault.ends else time.monotonic()
            search.resume(last=time_ == times)
            search.wait_for_more(1)
            seconds.append(time.monotonic() - start)
        else:
            search.wait_for_more(1)
            seconds.append(time.monotonic() - start)
            if search.ended() not in (None, -signal.SIGKILL):
                remarks.append(f"ended by the fault: {''.join(search.said_since_resume())}")
            search.resume(last=time_ == times)
    search.wait(lambda: search.ended() is not None)
    if search.ended() != 0:
        remarks.append(f"exit code {search.ended()}: {''.join(search.said_since_resume())}")
    if left := left_behind(search.folder):
        remarks.append(f"left behind: {left}")
    after, told = search.finished(), _told(search)
    samples = [_sample(search, trial) for trial in after.keys() - search.damaged.keys()]
    counted = json.loads((search.folder / "results" / "front.json").read_text())["trials"]
    unknown = [sample for sample in samples if told.get(sample) is None]
    left_out = max(0, len(samples) - counted)
    not_again = set(search.damaged.values()) - set(samples)
    lost = len(before.keys() - after.keys()) + len(unknown) + left_out + len(not_again)
    twice = again + _changed(before, after) + len(samples) - len(set(samples))
    failed = sum(losses is None for losses in told.values())
    numbers = _trial_numbers(search) if fault.faulty else 0
    if failed > (sum(number < numbers for number in FAULTY) if fault.faulty else times * fault.failing):
        lines = dict.fromkeys(search.said)  # a resumed search says it again
        reasons = [line for line in lines if line.startswith("trial ") and " failed: " in line]
        remarks.append(f"{failed} trials failed: {''.join(reasons)}")
    return Outcome(times, finished, lost, twice, seconds, remarks)


def _changed(before: dict[str, int], after: dict[str, int]) -> int:
    """How many networks were stored again."""
    return sum(after.get(trial) not in (None, when) for trial, when in before.items())


def _sample(search: Search, trial: str) -> str:
    return key(json.loads((trial_folder(search.experiment, trial) / record.SUMMARY).read_text())["sample"])


def _trial_numbers(search: Search) -> int:
    """How many numbers NNI has given to trials; one that a stop has ended begins again under another."""
    return 1 + max(job.number for job in nni_database.load(search.experiment).jobs.values())


def _told(search: Search) -> dict[str, Any]:
    state = checkpoint.read(search.experiment / "checkpoint" / checkpoint.FILE)
    return {key(sample): losses for sample, losses, *_ in state["trials"]}


def row(outcomes: list[Outcome], before: dict[str, Any] | None = None) -> dict[str, Any]:
    """What came of all injections of a fault, those of a row ``before`` included."""
    new = {
        "times": sum(outcome.times for outcome in outcomes),
        "finished": sum(outcome.finished for outcome in outcomes),
        "lost": sum(outcome.lost for outcome in outcomes),
        "twice": sum(outcome.twice for outcome in outcomes),
        "seconds": [round(seconds, 1) for outcome in outcomes for seconds in outcome.seconds],
        "remarks": [remark for outcome in outcomes for remark in outcome.remarks],
    }
    return new if before is None else {name: before.get(name, type(value)()) + value for name, value in new.items()}


def table(rows: dict[str, dict[str, Any]]) -> str:
    """Rows as Markdown."""
    lines = [
        "| fault | times | finished before | lost | twice | remarks | seconds to go on: median (most) |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, each in rows.items():
        seconds = f"{statistics.median(each['seconds']):.0f} ({max(each['seconds']):.0f})"
        counts = [each["times"], each["finished"], each["lost"], each["twice"], len(each.get("remarks", ()))]
        lines.append(" | ".join([f"| {name}", *map(str, counts), f"{seconds} |"]))
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=f"of {', '.join(FAULTS)} (all)")
    parser.add_argument("--times", type=int, default=6, help="of each fault (6)")
    parser.add_argument("--each", type=int, default=3, help="in one search, at most (3)")
    parser.add_argument("--results", type=Path, help="a JSON file, to whose rows is added")
    given = parser.parse_args()
    stored = json.loads(given.results.read_text()) if given.results and given.results.exists() else {}
    bad = 0
    for name in given.faults or FAULTS:
        outcomes = []
        for first in range(0, given.times, given.each):
            with tempfile.TemporaryDirectory(prefix="fault", ignore_cleanup_errors=True) as home:
                os.environ["HOME"] = home  # nnictl keeps its list of experiments there
                outcome = inject(name, Path(home) / "search", min(given.each, given.times - first))
            outcomes.append(outcome)
            print(f"{name}: {asdict(outcome)}", flush=True)
            bad += len(outcome.remarks) + outcome.lost + outcome.twice
        stored[name] = row(outcomes, stored.get(name))
        if given.results:
            given.results.write_text(json.dumps({n: stored[n] for n in FAULTS if n in stored}, indent=1) + "\n")
    print(table(stored))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
