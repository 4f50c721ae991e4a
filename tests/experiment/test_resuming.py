"""What is refused before an experiment goes on; that one does is shown in ``tests/end_to_end/test_begin_and_resume.py``."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from nni_database import write
from nni_earlyexit.experiment import resuming
from nni_earlyexit.experiment.overview import overview
from nni_earlyexit.experiment.resuming import resume
from nni_earlyexit.utils.tensors import write_tensors


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"status": "RUNNING", "port": 8080}, "runs on port 8080; go on with 'nni-earlyexit run --attach "),
        ({"status": "DONE"}, "is done; 'nni-earlyexit front "),
    ],
)
def test_an_experiment_that_runs_or_is_done_is_not_resumed(monkeypatch, tmp_path, changes, sentence):
    folder = write(tmp_path / "e", [], [])
    monkeypatch.setattr(resuming, "overview", lambda folder: replace(overview(folder), **changes))
    with pytest.raises(ValueError, match=sentence):
        resume(str(folder), port=8080, results=tmp_path)


def test_an_experiment_that_nobody_knows_has_the_nearest_name(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ValueError, match="experiment: 'nothing' is unknown"):
        resume("nothing", port=8080, results=tmp_path)


def test_data_that_were_moved_are_missed_before_a_search_goes_on(tmp_path, digits_space):
    folder = write(
        tmp_path / "e",
        [],
        [],
        trialCommand="python -m nni_earlyexit.trial --data npz:mine.npz",
        trialCodeDirectory=str(tmp_path / "code"),
        searchSpace=digits_space.search_space(),
    )
    with pytest.raises(FileNotFoundError, match=rf"^data: there is no file '{tmp_path}/code/mine.npz'"):
        resume(str(folder), port=8080, results=tmp_path)


def test_weights_are_read_and_workers_asked_again_before_a_search_goes_on(monkeypatch, tmp_path, digits_space):
    write_tensors(tmp_path / "supernet", {"weight": torch.zeros(3)}, None)
    machine = {"host": "w1", "user": "me", "port": 22}
    folder = write(
        tmp_path / "e",
        [],
        [],
        trainingService={"platform": "remote", "machineList": [machine], "nniManagerIp": "127.0.0.1"},
        trialCommand=f"python -m nni_earlyexit.trial --weights {tmp_path / 'supernet'}",
        searchSpace=digits_space.search_space(),
    )
    asked = []

    def check_workers(machines, files, say):
        asked.append((machines, files))
        raise ValueError("machineList: 'w1' has timm 0.1, this machine 0.2; make both the same")

    monkeypatch.setattr(resuming, "check_workers", check_workers)
    with pytest.raises(ValueError, match="^machineList: 'w1' has timm 0.1"):
        resume(str(folder), port=8080, results=tmp_path)
    assert asked == [([machine], [str(tmp_path / "supernet")])]

    (tmp_path / "supernet").write_bytes((tmp_path / "supernet").read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"^weights: '.*supernet' is damaged"):
        resume(str(folder), port=8080, results=tmp_path)


@pytest.mark.parametrize(
    ("service", "sentence"),
    [
        (
            {"platform": "kubeflow"},
            "^trainingService: 'resume' is not possible on 'kubeflow', .*; 'nnictl resume e' is",
        ),
        (
            {"platform": "remote", "nniManagerIp": "10.0.0.1"},
            "^nniManagerIp: '10.0.0.1' is not possible; 'resume' lets",
        ),
        (
            {"platform": "remote", "nniManagerIp": None},
            "^nniManagerIp: it is missing; 'resume' lets the manager answer",
        ),
    ],
)
def test_a_search_whose_trials_could_not_reach_the_manager_does_not_go_on(tmp_path, service, sentence):
    folder = write(tmp_path / "e", [], [], trainingService=service)
    with pytest.raises(ValueError, match=sentence):
        resume(str(folder), port=8080, results=tmp_path)


@pytest.mark.parametrize(
    ("wrong", "said"), [(KeyboardInterrupt(), "nothing is left running"), (OSError("no port"), "")]
)
def test_a_resume_that_does_not_get_past_its_start_leaves_no_manager(monkeypatch, tmp_path, capsys, wrong, said):
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = write(tmp_path / "e", [], [])
    left, stopped = [], []

    def begin(folder, port):
        left.append(port)
        raise wrong

    monkeypatch.setattr(resuming.Manager, "resume", begin)
    monkeypatch.setattr(resuming.Manager, "stop", lambda manager: stopped.append((manager.port, list(left))))
    try:
        code = resume(str(folder), port=8089, results=tmp_path)
    except (OSError, KeyboardInterrupt) as error:  # the latter would end pytest
        code = repr(error)
    assert code == (130 if isinstance(wrong, KeyboardInterrupt) else repr(wrong))
    assert stopped[-1] == (8089, [8089])
    assert said in capsys.readouterr().out
