"""Networks of an experiment that are trained again."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from nni_earlyexit.deploy.pick import picked_network
from nni_earlyexit.evaluation import again, record
from nni_earlyexit.evaluation.again import picked, train_again
from nni_earlyexit.evaluation.network_front import finished, judged
from nni_earlyexit.evaluation.one_network import train_one
from nni_earlyexit.evaluation.trial_folders import FROM_SCRATCH, FURTHER
from nni_earlyexit.report.front_report import write_front
from nni_earlyexit.training.settings import Settings

OPTIONS = {"epochs": 2, "threads": 1, "tensorboard": False}


@pytest.fixture(scope="module")
def experiment(tmp_path_factory, digits_space):
    """The folder of an experiment of two trials, one of which is at each end of the space."""
    folder = tmp_path_factory.mktemp("experiment")
    settings = Settings.from_options(epochs=1, threads=1, tensorboard=False, seed=3)
    for name, most in (("cheap", False), ("dear", True)):
        sample = digits_space.extreme(digits_space.exit_costs, exit=-1, most=most)[0]
        place = folder / "environments" / "local-env" / "trials" / name
        train_one(digits_space, sample, settings, place, lambda line: None)
    return folder


@pytest.fixture(scope="module")
def further(experiment):
    said = []
    (trial,) = picked(experiment, "dear")
    return trial, train_again(experiment, trial, OPTIONS, further=True, say=said.append), said


def test_they_are_named_by_number_or_by_trial(experiment):
    front = picked(experiment, "all")
    assert picked(experiment, "1") == front[:1]
    assert [trial.folder.name for trial in picked(experiment, "dear, cheap,dear")] == ["dear", "cheap"]


def test_the_best_stand_for_the_front(experiment):
    front = picked(experiment, "all")
    assert picked(experiment, "best:9") == front
    assert picked(experiment, "best:1")[0] in front
    with pytest.raises(ValueError, match="best: and a number from 1"):
        picked(experiment, "best:0")


def test_each_of_the_best_adds_the_most():
    points = [(0.1, 1.0), (0.79, 2.0), (0.8, 3.0), (0.81, 8.0), (0.95, 9.0)]
    front = [SimpleNamespace(metrics={"accuracy": accuracy, "avg_macs": cost}) for accuracy, cost in points]
    best = again._best(front, 2, {"accuracy": "max", "avg_macs": "min"})
    assert [trial.metrics["avg_macs"] for trial in best] == [2.0, 9.0]


@pytest.mark.parametrize("name", [record.WEIGHTS, record.OUTPUTS])
def test_numbers_are_those_of_the_table_where_a_trial_is_damaged(experiment, tmp_path, name):
    folder = shutil.copytree(experiment, tmp_path / "e")
    trials = folder / "environments" / "local-env" / "trials"
    (first, *_) = picked(folder, "all")
    shutil.copytree(first.folder, trials / "zzz")  # as after it was trained again
    path = first.folder / name
    path.write_bytes(path.read_bytes()[:-1])

    def numbered():
        """The networks that numbers mean, which are those of the table."""
        chosen = [trial.folder.name for trial in picked(folder, "all", said.append)]
        table = judged([trial for trial in finished(folder) if trial.policy is not None], said.append)
        assert chosen == [member.trial for member in table]
        assert [trial.folder.name for trial in picked(folder, "1", said.append)] == chosen[:1]
        assert picked_network(str(folder), "min avg_macs", said.append)[0].folder.name in chosen
        return chosen

    said = []
    assert numbered()[0] == "zzz"
    assert first.folder.name not in numbered()
    assert any(line.startswith(f"left out: {path}: its checksum") for line in said)
    shutil.rmtree(trials / "zzz")
    # of a network, what its exits once said can be missing
    assert (first.folder.name in numbered()) == (name == record.OUTPUTS)


@pytest.mark.parametrize("names", ["9", "", "deer", "0"])
def test_others_are_refused_with_the_nearest_names(experiment, names):
    with pytest.raises(ValueError, match=r"^pick: .* is unknown"):
        picked(experiment, names)


def test_a_folder_without_a_front_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no finished trial"):
        picked(tmp_path, "all")


def test_it_begins_with_the_weights_of_the_trial(experiment, further, tmp_path):
    trial, judgement, _ = further
    (folder,) = (experiment / "environments" / FURTHER / "trials").iterdir()
    assert folder.name.startswith("dear-")
    again = record.load(folder)
    assert again.sample == trial.sample
    assert again.settings.training.epochs == 2
    assert again.settings.training.seed == 3  # so that no split changes
    assert again.metrics["accuracy"] > trial.metrics["accuracy"]
    fresh = train_again(experiment, trial, OPTIONS, further=False, say=lambda line: None)
    own, other = judgement.network.state_dict(), fresh.network.state_dict()
    assert any(not np.array_equal(own[name], other[name]) for name in own)

    copy = shutil.copytree(experiment, tmp_path / "copy")
    (same,) = picked(copy, trial.folder.name)
    steps = {**OPTIONS, "learning_rate": 1e-12}  # too small to lead away from where it begins
    stays = {
        further: dict(train_again(copy, same, steps, further=further, say=lambda line: None).network.named_parameters())
        for further in (True, False)
    }
    for name, weights in trial.network().named_parameters():
        torch.testing.assert_close(stays[True][name], weights)
    assert any(not torch.allclose(stays[False][name], weights) for name, weights in trial.network().named_parameters())


def test_the_trial_stays_as_it_was(experiment, further):
    trial, _, _ = further
    assert record.load(trial.folder) == trial
    assert picked(experiment, "all") == [
        own for own in picked(experiment, "all") if own.folder.parent.parent.name == "local-env"
    ]


def test_what_is_finished_is_not_done_again(experiment, further):
    trial, _, _ = further
    said = []
    train_again(experiment, trial, OPTIONS, further=True, say=said.append)
    assert any("finished before" in line for line in said)
    assert not any("epoch" in line for line in said)


def test_options_of_several_words_are_the_same_options_again(experiment, tmp_path):
    copy = shutil.copytree(experiment, tmp_path / "copy")
    (trial,) = picked(copy, "cheap")
    options, said = {**OPTIONS, "exit_weights": ["linear"]}, []  # a list, as from a command line
    for _ in range(2):
        train_again(copy, trial, options, further=True, say=said.append)
    assert sum("finished before" in line for line in said) == 1


def test_another_way_to_train_is_not_in_the_way(experiment, further, tmp_path):
    copy = tmp_path / "experiment"
    shutil.copytree(experiment, copy)
    (trial,) = picked(copy, "cheap")
    train_again(copy, trial, OPTIONS, further=True, say=lambda line: None)
    train_again(copy, trial, {**OPTIONS, "epochs": 1}, further=True, say=lambda line: None)
    folders = list((copy / "environments" / FURTHER / "trials").glob("cheap-*"))
    assert sorted(record.load(folder).settings.training.epochs for folder in folders) == [1, 2]


def test_they_are_part_of_the_front_and_marked(experiment, further, tmp_path):
    said = []
    assert len(finished(experiment)) >= 3
    assert write_front(experiment, tmp_path, said.append)
    assert "trained further" in said[-1] or any("trained further" in line for line in said)
    front = json.loads((tmp_path / "front.json").read_text())["front"]
    (member,) = [own for own in front if FURTHER in own["trial_folder"]]
    assert "trained further" in member["remark"]
    assert not any("trained" in own["remark"] for own in front if "local-env" in own["trial_folder"])
    assert FROM_SCRATCH not in member["trial_folder"]
