from __future__ import annotations

import pytest
from nni_earlyexit import strategies
from nni_earlyexit.search import Domain, Exhausted, Session
from nni_earlyexit.search.domain import key
from nni_earlyexit.search.session import Submitted

DOMAIN = Domain({"a": [1, 2, 3], "b": [1, 2]})


def result(sample, accuracy=0.5, final=True):
    metrics = {"sample": sample, "accuracy": accuracy, "avg_macs": 10.0 * sample["a"], "excess": 0}
    return {**metrics, "front": {}} if final else metrics


@pytest.fixture
def session():
    strategy = strategies.create("random", seed=0)
    strategy.start(DOMAIN)
    return Session(strategy)


def started(session, trial):
    sample = session.ask()
    session.start(trial, sample)
    return sample


def test_a_result_is_told_and_the_trial_is_done(session):
    sample = started(session, "t")
    assert session.tell("t", result(sample))
    assert not session.running
    assert not session.end("t")
    assert session.strategy.trials[key(sample)].losses == (-0.5, 10.0 * sample["a"])


@pytest.mark.parametrize("broken", [None, 0.5, {}, {"sample": {"a": 9}}, result({"a": 1, "b": 1}, 10**400)])
def test_what_cannot_be_understood_makes_the_trial_fail_when_it_ends(session, broken, caplog):
    sample = started(session, "t")
    assert not session.tell("t", broken)
    assert "lacks the metrics" in caplog.text
    assert session.end("t")
    assert session.strategy.trials[key(sample)].losses is None


def test_the_last_report_of_a_stopped_trial_counts_unless_its_result_was_there_first(session):
    stopped, faster = started(session, "stopped"), started(session, "faster")
    assert session.tell("stopped", result(stopped, 0.3, final=False))
    assert session.tell("faster", result(faster, 0.9))
    assert not session.tell("faster", result(faster, 0.2, final=False))
    assert session.strategy.trials[key(stopped)].losses[0] == -0.3
    assert session.strategy.trials[key(faster)].losses[0] == -0.9


def test_a_stopped_trial_counts_with_what_it_gave_before(session):
    sample = started(session, "t")
    assert session.end("t", result(sample, 0.4, final=False))
    assert session.strategy.trials[key(sample)].losses[0] == -0.4


def test_after_an_interruption_every_trial_is_settled_by_how_it_ended(session):
    finished, failed, canceled, running, lost = (session.ask() for _ in range(5))
    settled = session.settle(
        [
            Submitted(0, finished, metrics=result(finished), ended=True),
            Submitted(1, failed, ended=True),
            Submitted(2, canceled, ended=True, canceled=True),
            Submitted(3, running),
        ]
    )
    assert [trial.number for trial in settled.taken] == [0]
    assert [trial.number for trial in settled.running] == [3]
    trials = session.strategy.trials
    assert trials[key(finished)].losses is not None
    assert trials[key(failed)].losses is None
    assert set(session.strategy.pending) == {key(canceled), key(running), key(lost)}
    # what never reached a trial, or was canceled there, comes again before anything new
    assert [session.ask(), session.ask()] == [canceled, lost]


def test_after_an_interruption_results_count_for_the_networks_that_ran(session):
    first, second, third = (session.ask() for _ in range(3))
    swapped = [
        Submitted(0, first, metrics=result(second, 0.2), ended=True),
        Submitted(1, second, metrics=result(first, 0.1), ended=True),
        Submitted(2, third, metrics=result(third, 0.3), ended=True),
    ]
    assert [trial.number for trial in session.settle(swapped).taken] == [0, 1, 2]
    trials = session.strategy.trials
    assert [trials[key(sample)].losses[0] for sample in (first, second, third)] == [-0.1, -0.2, -0.3]
    assert not session.strategy.pending
    damaged = [swapped[0], Submitted(1, second, metrics=result(first, 0.1), ended=True, damaged=True)]
    session.settle(damaged)
    assert session.strategy.pending == {key(first): first}


def test_a_network_of_which_what_was_stored_is_damaged_is_trained_again_once(session):
    damaged, whole, runs, again = (session.ask() for _ in range(4))
    submitted = [
        Submitted(0, damaged, metrics=result(damaged), ended=True, damaged=True),
        Submitted(1, whole, metrics=result(whole), ended=True),
        Submitted(2, runs, metrics=result(runs), damaged=True),  # NNI starts it again, in the same folder
        Submitted(3, again, metrics=result(again), ended=True, damaged=True),
        Submitted(4, again, metrics=result(again), ended=True),
    ]
    session.settle(submitted)
    assert list(session.strategy.pending) == [key(damaged)]
    assert session.strategy.trials[key(damaged)].losses is not None  # a strategy learns from what it gave
    assert session.ask() == damaged
    assert session.ask() not in (damaged, whole, runs, again)

    stopped_with_the_experiment = Submitted(5, damaged, ended=True, canceled=True)
    session.settle([*submitted, stopped_with_the_experiment])
    assert session.ask() == damaged
    session.start(6, damaged)
    session.tell(6, result(damaged, 0.9))
    assert session.strategy.trials[key(damaged)].losses[0] == -0.9
    session.settle([*submitted, Submitted(6, damaged, metrics=result(damaged, 0.9), ended=True)])
    assert key(damaged) not in session.strategy.pending


@pytest.mark.parametrize("ends", ["fails", "is stopped by an assessor", "is stopped by a halving"])
def test_a_second_training_that_comes_to_nothing_leaves_the_result_of_the_first(session, ends):
    sample = session.ask()
    first = Submitted(0, sample, metrics=result(sample, 0.9), ended=True, damaged=True)
    session.settle([first])
    session.start(1, session.ask())
    if ends == "is stopped by an assessor":
        assert session.tell(1, result(sample, 0.3, final=False))
    assert session.end(1, result(sample, 0.3, final=False) if ends == "is stopped by a halving" else None) == (
        ends != "is stopped by an assessor"
    )
    assert session.strategy.trials[key(sample)].losses[0] == -0.9
    assert not session.strategy.pending
    session.settle([first, Submitted(1, sample, ended=True, canceled=ends != "fails")])
    assert not session.strategy.pending  # it had its second chance


def test_a_result_of_an_earlier_run_that_cannot_be_understood_is_a_failure(session):
    sample = session.ask()
    settled = session.settle([Submitted(0, sample, metrics="broken", ended=True)])
    assert settled.taken == settled.running == []
    assert session.strategy.trials[key(sample)].losses is None


def test_a_result_that_is_there_is_not_taken_in_again(session):
    sample = started(session, "t")
    session.tell("t", result(sample, 0.9))
    assert not session.take_in(sample, result(sample, 0.1))
    assert session.strategy.trials[key(sample)].losses[0] == -0.9


def test_a_strategy_that_was_not_started_says_so():
    strategy = strategies.create("random")
    for use in (strategy.ask, lambda: strategy.tell({}, None), strategy.state_dict):
        with pytest.raises(RuntimeError, match=r"start\(domain\) comes first"):
            use()


def test_a_space_with_nothing_left_is_exhausted(session):
    for trial in range(6):
        started(session, trial)
    with pytest.raises(Exhausted):
        session.ask()
