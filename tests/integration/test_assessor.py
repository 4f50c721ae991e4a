"""The assessor as NNI's dispatcher drives it, without a manager."""

from __future__ import annotations

import json
import subprocess
import sys

import nni
import pytest
from nni.assessor import AssessResult
from nni.runtime import msg_dispatcher
from nni.tools.package_utils import get_algo_meta
from nni_earlyexit.experiment.registration import register
from nni_earlyexit.integration.assessor import FILE, EarlyExitAssessor, EarlyExitAssessorClassArgsValidator
from nni_earlyexit.search import checkpoint
from nni_earlyexit.search.metrics import flat


def metrics(accuracy, epochs=1):
    return flat({"default": accuracy, "accuracy": accuracy, "avg_macs": 1e6, "excess": 0, "epochs": epochs})


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NNI_CHECKPOINT_DIRECTORY", str(tmp_path))
    return tmp_path


def assess(assessor, accuracies, epochs=1):
    return [assessor.assess_trial(str(trial), [metrics(a, epochs)]).value for trial, a in enumerate(accuracies)]


def test_the_worst_of_a_rung_are_stopped():
    assessor = EarlyExitAssessor(epochs=9)
    assert assess(assessor, [0.5, 0.6, 0.1, 0.7]) == [True, True, False, True]


def test_what_trials_send_is_not_unpickled_where_another_tuner_searches(monkeypatch):
    monkeypatch.setattr(msg_dispatcher, "load", nni.load)
    EarlyExitAssessor(epochs=9)
    sent = json.dumps({"__nni_type__": "bytes:gASVAA=="})
    assert msg_dispatcher.load(sent) == json.loads(sent)


def test_the_last_report_counts_and_says_its_epoch():
    assessor = EarlyExitAssessor(epochs=9)
    assessor.assess_trial("a", [metrics(0.1), metrics(0.5, 2), metrics(0.6, 3)])
    assert [list(reached) for reached in assessor.halving.rungs.values()] == [[], ["a"]]


@pytest.mark.parametrize("report", [0.5, {"default": 0.5}, None])
def test_a_trial_that_reports_something_else_is_left_alone(report):
    assert EarlyExitAssessor(epochs=9).assess_trial("a", [report]) is AssessResult.Good


def test_a_resumed_experiment_judges_as_it_would_have(folder):
    first = EarlyExitAssessor(epochs=9)
    assert assess(first, [0.5, 0.6, 0.1]) == [True, True, False]
    second = EarlyExitAssessor(epochs=9)
    second.load_checkpoint()
    assert second.halving.state_dict() == first.halving.state_dict()
    assert second.assess_trial("3", [metrics(0.2)]) is AssessResult.Bad


def test_a_damaged_state_does_not_keep_an_experiment_from_going_on(folder):
    (folder / FILE).write_text('{"version": 1')
    assessor = EarlyExitAssessor(epochs=9)
    assessor.load_checkpoint()
    assert assess(assessor, [0.5]) == [True]
    assert checkpoint.read(folder / FILE)["trials"] == [[1, "0", [-0.5, 1e6], 0, False]]


def test_each_report_adds_a_line_and_an_unfinished_one_is_left_out(folder):
    first = EarlyExitAssessor(epochs=9)
    assert assess(first, [0.5, 0.6, 0.1]) == [True, True, False]
    lines = (folder / FILE).read_text().splitlines()
    assert len(lines) == 3
    assert json.loads(lines[2]) == {"trials": [[1, "2", [-0.1, 1e6], 0, True]]}
    (folder / FILE).write_text("\n".join(lines)[:-5])
    second = EarlyExitAssessor(epochs=9)
    second.load_checkpoint()
    assert list(second.halving.rungs[1]) == ["0", "1"]
    assert second.assess_trial("2", [metrics(0.1)]) is AssessResult.Bad


def test_a_state_that_cannot_be_written_does_not_end_the_experiment(folder):
    (folder / FILE).mkdir()
    assert assess(EarlyExitAssessor(epochs=9), [0.5]) == [True]


def test_class_arguments_are_checked_by_constructor_and_validator():
    for check in (lambda **args: EarlyExitAssessor(**args), EarlyExitAssessorClassArgsValidator().validate_class_args):
        with pytest.raises(ValueError, match="factor: 0 is not possible"):
            check(epochs=9, factor=0)


def test_an_error_ends_the_process_visibly():
    code = (
        "import logging; logging.basicConfig();"
        "from nni_earlyexit.integration.assessor import EarlyExitAssessor;"
        "EarlyExitAssessor(epochs=9).assess_trial('a', [{'epochs': 'one'}])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "EarlyExit assessor stopped: '<=' not supported" in ended.stderr


def test_nni_knows_it_by_its_name():
    register()
    meta = get_algo_meta("EarlyExitHalving")
    assert (meta.algo_type, meta.class_name) == ("assessor", "nni_earlyexit.integration.assessor.EarlyExitAssessor")
