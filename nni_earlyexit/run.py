"""Run an experiment file from start to results: check, ``nnictl create``, progress, front, stop."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
from nni_earlyexit import front, plot, record
from nni_earlyexit.experiment_file import ExperimentFile, check, check_port, check_writable
from nni_earlyexit.goal import format_macs
from nni_earlyexit.manager import Manager, last_error


def run(config: Path, *, port: int, results: Path | None, say: Callable[[str], None] = print) -> int:
    """Run the experiment file ``config`` and write its front to ``results`` (default: ``results`` beside the file).

    Returns the exit code: 0, 1 when the experiment failed, 130 after Ctrl-C, which keeps what was finished.
    """
    results = results if results is not None else config.parent / "results"
    check_port(port)
    check_writable(results, "results")
    say(f"checking {config}")
    experiment = check(config)

    # also where SIGINT is ignored, as it is for what a script starts in the background
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    manager = Manager.start(experiment.path, port)
    folder = experiment.working_directory / manager.id
    code = 0
    try:
        say(f"experiment {manager.id} runs; NNI's web UI: {manager.address}")
        if not _watch(manager, experiment, say):
            say(f"NNI's experiment failed: {last_error(folder / 'log' / 'dispatcher.log') or 'no reason given'}")
            code = 1
    except KeyboardInterrupt:
        say("interrupted; stopping the experiment, finished trials are kept")
        code = 130
    except requests.ConnectionError:
        say("NNI's manager does not answer any more; finished trials are kept")
        code = 1
    finally:
        # a second Ctrl-C must not leave processes behind
        previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
        manager.stop()
        signal.signal(signal.SIGINT, previous)
    wrote = write_front(folder, results, say)
    say(f"stopped. To see the experiment again: nnictl view {manager.id}")
    return code if wrote or code else 1


def write_front(folder: Path, results: Path, say: Callable[[str], None] = print) -> bool:
    """Judge the front of the experiment in ``folder``, print it, and write ``front.json`` and ``front.png``."""
    trials = front.finished(folder)
    chosen = front.non_dominated(trials)
    if not chosen:
        say(f"no finished trial within the limits in {folder}{_first_complaint(folder)}")
        return False
    say(f"judging {len(chosen)} of {len(trials)} networks on the test split")
    members = front.judge(chosen)
    say("\n" + front.table(members) + "\n")
    for concern in front.concerns(members):
        say(concern)
    results.mkdir(parents=True, exist_ok=True)
    record.write_json(
        results / "front.json",
        {"experiment": folder.name, "trials": len(trials), "front": [m.to_dict() for m in members]},
    )
    plot.save(members, trials, results / "front.png")
    say(f"wrote {results / 'front.json'} and {results / 'front.png'}")
    return True


def _watch(manager: Manager, experiment: ExperimentFile, say: Callable[[str], None]) -> bool:
    """Show progress until the experiment ends. Returns whether it ended well."""
    start = time.monotonic()
    shown, shown_at = "", start
    while True:
        status, trials = manager.status(), manager.trials()
        if status == "ERROR":
            return False
        line = _progress(trials, experiment, time.monotonic() - start)
        news = line.partition(", about ")[0]
        if news != shown or time.monotonic() - shown_at > 60:
            say(line)
            shown, shown_at = news, time.monotonic()
        if manager.has_ended(status, trials):
            return True
        time.sleep(1)


def _progress(trials: list[dict[str, Any]], experiment: ExperimentFile, elapsed: float) -> str:
    """Trials done, best so far, time left."""
    succeeded = [trial["metrics"] for trial in trials if trial["status"] == "SUCCEEDED" and trial["metrics"]]
    ended = sum(trial["status"] not in ("RUNNING", "WAITING") for trial in trials)
    total = f"/{experiment.max_trials}" if experiment.max_trials else ""
    parts = [f"{ended}{total} trials"]
    # NNI's local platform says of a trial that an assessor stopped that a user did
    stopped = sum(trial["status"] in ("EARLY_STOPPED", "USER_CANCELED") for trial in trials)
    failed = ended - len(succeeded) - stopped
    parts += [f"{number} {what}" for number, what in ((stopped, "stopped"), (failed, "failed")) if number]
    feasible = [metrics for metrics in succeeded if metrics.get("feasible")]
    if feasible:
        best = max(feasible, key=lambda metrics: metrics["default"])
        parts.append(f"best so far {best['accuracy']:.4f} at {format_macs(best['avg_macs'])} average MACs")
    limits = [experiment.max_seconds - elapsed] if experiment.max_seconds else []
    if experiment.max_trials and ended:
        limits.append(elapsed / ended * (experiment.max_trials - ended))
    if limits:
        left = max(0, int(min(limits)))
        parts.append(f"about {left // 60}:{left % 60:02d} left")
    return ", ".join(parts)


def _first_complaint(folder: Path) -> str:
    """What the first failed trial wrote last, if anything."""
    for errors in sorted(folder.glob("environments/*/trials/*/trial.stderr")):
        lines = errors.read_text(errors="replace").strip().splitlines()
        if lines:
            return f"; a trial said: {lines[-1]}"
    return ""


def _interrupt(signum: int, frame: object) -> None:
    raise KeyboardInterrupt
