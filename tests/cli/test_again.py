"""The commands ``finetune`` and ``train --pick``."""

from __future__ import annotations

import csv
import io
import json
import sys

import pytest
from nni_earlyexit.cli import lazy, main
from nni_earlyexit.evaluation import record
from nni_earlyexit.evaluation.one_network import train_one
from nni_earlyexit.evaluation.trial_folders import FROM_SCRATCH
from nni_earlyexit.training.settings import Settings


@pytest.fixture(scope="module")
def experiment(tmp_path_factory, digits_space):
    folder = tmp_path_factory.mktemp("experiment")
    settings = Settings.from_options(epochs=1, threads=1, tensorboard=False)
    sample = digits_space.extreme(digits_space.exit_costs, exit=-1)[0]
    train_one(digits_space, sample, settings, folder / "environments" / "local-env" / "trials" / "own", lambda s: None)
    return folder


def execute(*words):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["nni-earlyexit", *map(str, words)])
        return lazy.run(main.app)


def test_a_network_is_trained_further_and_on_the_front(experiment, tmp_path, capsys):
    assert execute("finetune", experiment, "--pick", "own", "--epochs", 8, "--threads", 1, "--results", tmp_path) == 0
    assert "network 1 of 1: trial own" in capsys.readouterr().out
    front = json.loads((tmp_path / "front.json").read_text())["front"]
    assert any("trained further" in member["remark"] for member in front)


def test_a_network_is_trained_from_scratch_beside_the_others(experiment, tmp_path, capsys):
    assert execute("train", experiment, "--pick", "1", "--epochs", 2, "--threads", 1, "--results", tmp_path) == 0
    (folder,) = (experiment / "environments" / FROM_SCRATCH / "trials").iterdir()
    assert record.load(folder).settings.training.epochs == 2
    assert "epoch 2 of 2" in capsys.readouterr().out


def test_programs_get_the_exits_of_a_trained_network(experiment, tmp_path, capsys):
    sample = experiment / "environments" / "local-env" / "trials" / "own"
    options = ("--sample", sample, "--epochs", 1, "--threads", 1, "--output", tmp_path / "network", "--json")
    assert execute("train", record.load(sample).space, *options) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["exit"] for row in rows] == list(range(len(rows)))
    assert all(0 <= row["test_accuracy"] <= 1 for row in rows)
    assert rows[-1]["macs"] == record.load(tmp_path / "network").metrics["full_macs"]


def test_programs_get_the_front_as_json_and_csv(experiment, tmp_path, capsys):
    assert execute("front", experiment, "--results", tmp_path, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    written = json.loads((tmp_path / "front.json").read_text())
    assert said["front"] == [{name: v for name, v in member.items() if name != "remark"} for member in written["front"]]
    assert execute("front", experiment, "--results", tmp_path, "--csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["trial"] for row in rows] == [member["trial"] for member in said["front"]]
    assert execute("front", tmp_path, "--results", tmp_path, "--csv") == 1


def test_one_that_diverges_is_left_out_and_the_front_is_written(experiment, tmp_path, capsys):
    options = ("--optimizer", "sgd", "--learning-rate", "1e12", "--epochs", 2, "--threads", 1, "--results", tmp_path)
    assert execute("finetune", experiment, "--pick", "own", *options) == 1
    assert "trial own is left out: training: the loss is" in capsys.readouterr().out
    assert (tmp_path / "front.json").is_file()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["train", "{}", "--pick", "own", "--max-drop", "1%"], "max_drop: it is that of the trial"),
        (["train", "{}", "--pick", "own", "--seed", "1"], "seed: it is that of the trial"),
        (["train", "{}", "--pick", "own", "--output", "x"], "output: it has no place beside pick"),
        (["train", "digits"], "output: it is missing"),
        (["train", "digits", "--output", "x", "--results", "y"], "results: it is for networks of an experiment"),
        (["finetune", "{}", "--pick", "other"], "pick: 'other' is unknown"),
        (["finetune", "{}/none", "--pick", "own"], "experiment: "),
        (["finetune", "{}", "--data", "digits"], "--data: there is no such option"),
        (["finetune", "{}", "--epochs", "0"], "epochs"),
    ],
)
def test_what_cannot_work_ends_in_one_sentence(experiment, words, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=sentence):
        execute(*(word.format(experiment) for word in words))
    assert not list(tmp_path.iterdir())
