"""What ``run`` says and hears of; the whole of it stands in ``tests/end_to_end`` and ``tests/faults``."""

from __future__ import annotations

import json
import re
import signal

import pytest
from nni_earlyexit.experiment import live, run
from nni_earlyexit.experiment.live import Lines
from nni_earlyexit.experiment.manager import Manager
from nni_earlyexit.integration import rest


@pytest.fixture
def handlers():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_the_end_of_the_terminal_ends_a_run_unless_nohup_was_asked_to_prevent_it(handlers):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    with run.ends_by_signal(run.interrupt):
        assert signal.getsignal(signal.SIGHUP) is run.interrupt
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with run.ends_by_signal(run.interrupt):
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is run.interrupt


def trial(name, status, **metrics):
    """A trial as NNI's manager shows it."""
    reported = [{"data": json.dumps(json.dumps(metrics))}] if metrics else None
    return {"trialJobId": name, "status": status, "finalMetricData": reported}


class Clock:
    def __init__(self):
        self.now = self.spent = 0.0

    def monotonic(self):
        return self.now

    def thread_time(self):
        return self.spent

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def watched(monkeypatch, tmp_path):
    """What ``run`` says while the manager answers what ``answers`` gives for a time; its exit code and lines."""

    def watch(answers, lives=lambda now: True, **options):
        clock, lines = Clock(), []
        monkeypatch.setattr(run, "time", clock)
        monkeypatch.setattr(live, "time", clock)

        def get(self, path):
            clock.now += 0.1
            clock.spent += options.get("costs_s", 0)
            answer = answers(clock.now)
            if answer is None:
                clock.now += 1
                raise rest.NoAnswer("none")
            profile, status, trials = answer
            return {"experiment": profile, "check-status": {"status": status}, "trial-jobs": trials}[path]

        monkeypatch.setattr(Manager, "get", get)
        monkeypatch.setattr(Manager, "lives", lambda self: lives(clock.now))
        code = run._Watch(Manager("id", 8080), tmp_path, options.get("grace_s"), Lines(lines.append)).until_it_ends()
        return code, lines, clock.now

    return watch


def profile(elapsed, **params):
    return {"params": params, "execDuration": elapsed}


def test_it_waits_for_a_manager_that_lives_and_says_for_how_long_there_was_no_answer(watched):
    def answers(now):
        running = profile(now, maxTrialNumber=1), "RUNNING", [trial("a", "RUNNING")]
        done = (
            profile(now, maxTrialNumber=1),
            "DONE",
            [trial("a", "SUCCEEDED", accuracy=0.9, avg_macs=1e5, default=1, feasible=1)],
        )
        return running if now < 5 else None if now < 100 else done

    code, lines, _ = watched(answers)
    assert code == 0
    silent = [line for line in lines if "has not answered" in line]
    assert 5 < len(silent) < 12
    assert re.fullmatch(r"NNI's manager has not answered for 1\d s; its process lives, so it may be busy", silent[0])
    assert "1/1 trials, best so far 0.9000 at 100k average MACs" in lines


@pytest.mark.parametrize(("costs_s", "looks"), [(0, 110), (0.05, 19), (100, 8)])  # a look asks three times
def test_it_looks_less_often_where_a_look_is_work(watched, costs_s, looks):
    times = []

    def answers(now):
        times.append(now)
        return profile(1), "RUNNING" if now < 120 else "DONE", [trial("a", "RUNNING")]

    code, _, _ = watched(answers, costs_s=costs_s)
    assert code == 0
    assert len(times) / 3 == pytest.approx(looks, rel=0.25)


def test_an_answer_that_is_none_of_nnis_counts_as_none(watched):
    done = profile(9), "DONE", []
    code, *_ = watched(lambda now: ({}, "DONE", []) if now < 3 else ("error", 5, {}) if now < 6 else done)
    assert code == 0


def test_it_gives_up_when_the_managers_process_is_gone(watched):
    running = profile(1), "RUNNING", []
    code, lines, _ = watched(lambda now: running if now < 5 else None, lives=lambda now: now < 30)
    assert code == 1
    assert lines[-1] == "NNI's manager does not answer any more; finished trials are kept"


@pytest.mark.parametrize("wrong", [rest.NoAnswer("busy"), rest.Refused("no such trial"), KeyError("metrics")])
def test_a_manager_too_busy_to_say_how_far_trials_are_ends_no_search(monkeypatch, tmp_path, wrong):
    shown = []

    class Screen:
        say = shown.append

        def show(self, state):
            shown.append(state.epochs)

    def epochs(manager, trials):
        assert trials == ["b"]
        raise wrong

    monkeypatch.setattr(Manager, "epochs", epochs)
    watch = run._Watch(Manager("id", 8080), tmp_path, None, Screen())
    trials = [trial("a", "SUCCEEDED"), trial("b", "RUNNING")]
    look = run._Look(status="RUNNING", trials=trials, ended=False, most=5, limit_s=None, elapsed_s=1)
    assert watch._take_in(look, 0) is None
    assert shown == [{}]


def test_then_it_says_the_last_error_of_the_managers_log_but_none_of_an_earlier_start(watched, tmp_path):
    log = tmp_path / "log" / "nnimanager.log"
    log.parent.mkdir()
    log.write_text("[2026-11-25 10:00:00] ERROR (RemoteV3) long ago\n")
    _, lines, _ = watched(lambda now: None, lives=lambda now: now < 30)
    assert lines[-1] == "NNI's manager does not answer any more; finished trials are kept"

    def ends(now):
        if "no pip" not in log.read_text():
            with log.open("a") as file:
                file.write("[2026-11-25 11:00:00] ERROR (RemoteV3) no pip\n")

    _, lines, _ = watched(ends, lives=lambda now: now < 30)
    assert lines[-1] == "the last error in its log: no pip"


@pytest.mark.parametrize(("limit", "grace_s", "stops"), [("100s", None, 160), ("1000s", None, 1100), ("100s", 5, 105)])
def test_trials_that_run_after_the_time_are_stopped_after_the_grace(watched, limit, grace_s, stops):
    def answers(now):
        return profile(int(now), maxExperimentDuration=limit), "NO_MORE_TRIAL", [trial("a", "RUNNING")]

    code, lines, ended = watched(answers, grace_s=grace_s)
    assert code == 0
    assert stops <= ended <= stops + 4
    assert lines[-1].startswith("1 trial still runs ")
    assert lines[-1].endswith(f" s after the limit of {limit[:-1]} s; stopped")
    assert any("its time is over; what runs is stopped in " in line for line in lines) == (grace_s is None)


def test_why_trials_failed_is_said_once_for_each_reason(watched, tmp_path):
    for name, reason in (("a", "no luck"), ("b", "no luck"), ("c", "no memory"), ("d", "")):
        folder = tmp_path / "environments" / "local-env" / "trials" / name
        folder.mkdir(parents=True)
        (folder / "trial.stderr").write_text(f"Traceback\n{reason}\n" if reason else "")
    jobs = [trial(name, "FAILED") for name in "abcd"]
    _, lines, _ = watched(lambda now: (profile(1), "RUNNING" if now < 5 else "DONE", jobs))
    assert [line for line in lines if line.startswith("trial ")] == [
        "trial a failed: no luck",
        "trial c failed: no memory",
    ]


def test_of_a_trial_that_was_locked_up_it_is_said_so_and_not_the_last_line_of_where(watched, tmp_path):
    folder = tmp_path / "environments" / "local-env" / "trials" / "a"
    folder.mkdir(parents=True)
    where = 'Timeout (0:00:20)!\nThread 0x1 (most recent call first):\n  File "x.py", line 3 in hang\n  File "<frozen runpy>"\n'
    (folder / "trial.stderr").write_text(where)
    _, lines, _ = watched(lambda now: (profile(1), "RUNNING" if now < 5 else "DONE", [trial("a", "FAILED")]))
    (said,) = [line for line in lines if line.startswith("trial ")]
    assert said.startswith(
        "trial a failed: trial-timeout: not finished in time, and locked up in code that is not Python"
    )
    assert str(folder / "trial.stderr") in said
