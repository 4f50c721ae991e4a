"""Run an experiment file from start to results: check, ``nnictl create``, progress, front, stop.

Whatever ends the experiment, it is stopped and the front of its finished trials is written.
"""

from __future__ import annotations

import signal
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

from nni_earlyexit import search_spaces
from nni_earlyexit.evaluation.trial_folders import complaint, trial_folders
from nni_earlyexit.experiment.config import check, seconds
from nni_earlyexit.experiment.live import Display, Lines, State, display
from nni_earlyexit.experiment.manager import Manager, last_error, reasons
from nni_earlyexit.experiment.reach import check_reach
from nni_earlyexit.experiment.registration import register
from nni_earlyexit.experiment.variation import results_beside
from nni_earlyexit.experiment.workers import fetch
from nni_earlyexit.integration import trial_arguments
from nni_earlyexit.integration.rest import ENDED_TRIAL, PATIENCE_S, NoAnswer
from nni_earlyexit.report.front_report import write_front
from nni_earlyexit.utils import files
from nni_earlyexit.utils.checks import check_port, check_writable
from nni_earlyexit.utils.progress import Say

if TYPE_CHECKING:
    from rich.console import Console

GRACE_S, GRACE_SHARE = 60.0, 0.1
"""Time for trials to go on when the experiment's is over: so many seconds, or that share of its time if it is more."""
_NO_LOOK = (NoAnswer, LookupError, TypeError, ValueError, AttributeError)
"""What a busy manager, or one that starts or ends, makes of a look at it."""
REMIND_S = 10
"""Seconds between two lines that say that the manager does not answer."""
LOOK_S, LOOK_SHARE, LOOK_MOST_S = 1.0, 0.02, 15.0
"""Seconds between two looks at the trials: more of them, up to so many, when a look takes more than that share of them."""


def run(
    config: Path,
    *,
    port: int,
    results: Path | None,
    grace_s: float | None = None,
    say: Say = print,
    console: Console | None = None,
) -> int:
    """Run the experiment file ``config`` and write its front to ``results`` (default: ``results`` beside the file).

    Trials that still run ``grace_s`` after the experiment's ``maxExperimentDuration`` are stopped. With a ``console``, progress
    is a live display on it.

    Returns the exit code: 0, 1 when the experiment failed, 130 after Ctrl-C, which keeps what was finished. Bad input is a
    ``ValueError`` or ``FileNotFoundError`` before anything starts.
    """
    results = results if results is not None else config.parent / "results"
    for manager in Manager.all_from(config):
        raise ValueError(
            f"config: experiment {manager.id} of {str(config)!r} still runs on port {manager.port}; go on with "
            f"'nni-earlyexit run --attach {manager.id}', or end it with 'nnictl stop {manager.id}'"
        )
    check_port(port)
    check_writable(results, "results")
    say(f"checking {config}")
    experiment = check(config)
    check_reach(experiment.service, "run", f"nnictl create --config {config}")
    register()
    starter = uuid.uuid4().hex
    with ends_by_signal(interrupt):
        try:
            started = Manager.start(experiment.path, port, starter)
            folder = experiment.working_directory / started.id
            started.remember_file(experiment.path, folder)
        except BaseException as error:
            with ends_by_signal(signal.SIG_IGN):
                for manager in Manager.all_started_by(starter):
                    say(f"stopping experiment {manager.id}, which had begun to start")
                    manager.stop()
            if not isinstance(error, KeyboardInterrupt):
                raise
            say("interrupted; nothing is left running")
            return 130
        return follow(started, folder, results, grace_s, say, console)


def attach(
    experiment: str,
    *,
    results: Path | None,
    grace_s: float | None = None,
    say: Say = print,
    console: Console | None = None,
) -> int:
    """Go on with ``experiment``, an ID, which runs on this machine and which nobody follows any more, as :func:`run` would."""
    manager, process = Manager.running(experiment)
    if results is None:
        results = Path("results") if process.file is None else results_beside(process.file)
    check_writable(results, "results")
    if manager.get("check-status", PATIENCE_S)["status"] == "VIEWED":
        raise ValueError(f"attach: experiment {experiment} is only looked at with nnictl view; nothing of it runs")
    for name in trial_arguments.allowed_spaces(
        str(manager.get("experiment", PATIENCE_S)["params"].get("trialCommand"))
    ):
        search_spaces.allow(name)
    with ends_by_signal(interrupt):
        return follow(manager, process.folder, results, grace_s, say, console)


def follow(
    manager: Manager, folder: Path, results: Path, grace_s: float | None, say: Say, console: Console | None
) -> int:
    """Watch the experiment in ``folder``, stop it, copy its networks here, and write its front; the exit code.

    Within :func:`ends_by_signal`, for what ends this program must stop the experiment.
    """
    code = 1
    wrote = False
    try:
        say(f"experiment {manager.id} runs; NNI's web UI: {manager.address}")
        say(
            f"Ctrl-C stops it and writes the front of what is finished; so does 'nnictl stop {manager.id}' elsewhere; if this "
            f"program is lost, 'nni-earlyexit run --attach {manager.id}' goes on"
        )
        with display(say, console) as shown:
            code = _Watch(manager, folder, grace_s, shown).until_it_ends()
    except KeyboardInterrupt:
        say("interrupted; stopping the experiment, finished trials are kept")
        code = 130
    finally:
        # a second Ctrl-C must not leave processes behind
        with ends_by_signal(signal.SIG_IGN):
            manager.stop()
        try:
            fetch(folder, say)
        except KeyboardInterrupt:
            say(f"interrupted; the networks can still be copied: nni-earlyexit fetch {folder}")
            code = 130
        for trial_folder in trial_folders(folder):
            files.remove_parts(trial_folder)
        try:
            wrote = write_front(folder, results, say)
        except KeyboardInterrupt:
            say(f"interrupted; the front can still be written: nni-earlyexit front {folder} --results {results}")
            code = 130
    say(f"stopped. To see the experiment again: nni-earlyexit report {manager.id}, or nni-earlyexit view {manager.id}")
    return code if wrote or code else 1


class _Look(NamedTuple):
    """The experiment as the manager shows it."""

    status: str
    trials: list[dict[str, Any]]
    ended: bool
    most: int | None
    """Trials that it may have."""
    limit_s: float | None
    elapsed_s: float


@dataclass
class _Watch:
    """Looks at an experiment again and again, and says what is new."""

    manager: Manager
    folder: Path
    grace_s: float | None
    display: Display
    over_since: float | None = None
    """Time, by :func:`time.monotonic`, at which NNI's time for the experiment was over."""
    said_failures: set[str] = field(default_factory=set)
    """Trials that failed, and reasons."""

    def __post_init__(self) -> None:
        self.log = self.folder / "log" / "nnimanager.log"
        # what stands there is of an earlier start
        self.log_from = self.log.stat().st_size if self.log.is_file() else 0

    def until_it_ends(self) -> int:
        """The exit code: 0 when it ended well or when its time and the grace are over, else 1."""
        started = answered = reminded = time.monotonic()
        limit_s = None
        while True:
            spent = time.thread_time()
            look = self._look()
            now = time.monotonic()
            if look is not None:
                answered, limit_s = now, look.limit_s
                code = self._take_in(look, now)
                if code is not None:
                    return code
                # a look at thousands of trials is work for the manager, too, which it would rather spend on trials
                time.sleep(min(LOOK_MOST_S, max(LOOK_S, (time.thread_time() - spent) / LOOK_SHARE)))
                continue
            if not self.manager.lives():
                self.display.say("NNI's manager does not answer any more; finished trials are kept")
                if error := last_error(self.log, self.log_from):
                    self.display.say(f"the last error in its log: {error}")
                return 1
            if now - max(answered, reminded) >= REMIND_S:
                self.display.say(
                    f"NNI's manager has not answered for {now - answered:.0f} s; its process lives, so it may be busy"
                )
                reminded = now
            if limit_s is not None and now - started > limit_s + self._grace(limit_s):
                self.display.say("the experiment's time and its grace are over; it is stopped")
                return 1

    def _look(self) -> _Look | None:
        """The experiment as it is now; ``None`` when there is no answer, or one that is not NNI's."""
        try:
            profile = self.manager.get("experiment")
            params = profile["params"]
            limit_s, elapsed_s = seconds(params.get("maxExperimentDuration")), float(profile["execDuration"])
            status, trials = self.manager.status(), self.manager.trials()
            ended = self.manager.has_ended(status, trials)
            return _Look(
                status=status,
                trials=trials,
                ended=ended,
                most=params.get("maxTrialNumber"),
                limit_s=limit_s,
                elapsed_s=elapsed_s,
            )
        except _NO_LOOK:
            time.sleep(0.1)
            return None

    def _take_in(self, look: _Look, now: float) -> int | None:
        """Say what is new; the exit code when the experiment has ended or is to end."""
        if look.status == "ERROR":
            self.display.say(f"NNI's experiment failed: {reasons(self.folder)}")
            return 1
        if look.limit_s is None or look.elapsed_s <= look.limit_s:
            self.over_since = None  # the user may have given it more time
        elif self.over_since is None:
            self.over_since = now
        self._say_failures(look.trials)
        self.display.show(State(look.trials, look.most, self._time_left(look, now), self._epochs(look.trials)))
        if look.ended:
            return 0
        if (
            self.over_since is not None
            and look.limit_s is not None
            and now - self.over_since > self._grace(look.limit_s)
        ):
            running = sum(trial["status"] == "RUNNING" for trial in look.trials)
            late = f"{now - self.over_since:.0f} s after the limit of {look.limit_s:.0f} s"
            if running:
                trials = "1 trial still runs" if running == 1 else f"{running} trials still run"
                self.display.say(f"{trials} {late}; stopped")
            return 0
        return None

    def _grace(self, limit_s: float) -> float:
        return max(GRACE_S, GRACE_SHARE * limit_s) if self.grace_s is None else self.grace_s

    def _say_failures(self, trials: list[dict[str, Any]]) -> None:
        """Say why trials failed, each reason once."""
        for trial_job in trials:
            if trial_job["status"] != "FAILED" or trial_job["trialJobId"] in self.said_failures:
                continue
            self.said_failures.add(trial_job["trialJobId"])
            reason = complaint(self.folder, trial_job["trialJobId"])
            if reason and reason not in self.said_failures:
                self.said_failures.add(reason)
                self.display.say(f"trial {trial_job['trialJobId']} failed: {reason}")

    def _time_left(self, look: _Look, now: float) -> str:
        running = any(trial["status"] not in ENDED_TRIAL for trial in look.trials)
        if self.over_since is not None and look.limit_s is not None:
            if not running:
                return "its time is over"
            return f"its time is over; what runs is stopped in {_clock(self._grace(look.limit_s) - (now - self.over_since))}"
        state = State(look.trials, look.most)
        if look.most is not None and len(look.trials) >= look.most:
            unfinished = len(look.trials) - state.ended
            return f"the last {unfinished} run" if unfinished > 1 else "the last one runs" if unfinished else ""
        limits = [look.limit_s - look.elapsed_s] if look.limit_s is not None else []
        if look.most is not None and state.ended:
            limits.append(look.elapsed_s / state.ended * (look.most - state.ended))
        return f"about {_clock(min(limits))} left" if limits else ""

    def _epochs(self, trials: list[dict[str, Any]]) -> dict[str, int]:
        """Epochs that the running trials have finished, where somebody looks."""
        if isinstance(self.display, Lines):
            return {}
        with suppress(*_NO_LOOK):  # it shows fewer numbers, and no more
            return self.manager.epochs([trial["trialJobId"] for trial in trials if trial["status"] == "RUNNING"])
        return {}


def _clock(duration_s: float) -> str:
    left = max(0, int(duration_s))
    return f"{left // 60}:{left % 60:02d}"


@contextmanager
def ends_by_signal(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> Iterator[None]:
    """Handle what ends a program so: Ctrl-C, a polite kill, and the end of the terminal.

    Also where SIGINT is ignored, as it is for what a script starts in the background. Where SIGHUP is, ``nohup`` wants it so.
    """
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = [signal.signal(number, handler) for number in numbers]
    try:
        yield
    finally:
        for number, previous in zip(numbers, before, strict=True):
            signal.signal(number, previous)


def interrupt(signum: int, frame: object) -> None:
    """End what runs as Ctrl-C does, as a handler of a signal."""
    raise KeyboardInterrupt
