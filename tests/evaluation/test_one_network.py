from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from nni_earlyexit import EarlyExitNetwork, search_spaces
from nni_earlyexit.evaluation import record
from nni_earlyexit.evaluation.one_network import CHECKPOINT, choose_sample, train_one
from nni_earlyexit.training.settings import Settings
from sklearn.datasets import load_digits


@pytest.fixture(scope="module")
def space():
    return search_spaces.create("digits")


@pytest.fixture(scope="module")
def sample(space):
    return choose_sample(space, "smallest", 0) | {"exit0_present": "yes"}


@pytest.fixture(scope="module")
def trained(space, sample, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    return folder, train_one(space, sample, Settings.from_options(epochs=4), folder, lambda line: None)


def test_a_trained_network_answers_the_images_that_it_was_made_for(trained):
    folder, result = trained
    network = EarlyExitNetwork.load(folder)
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8) / 16
    answers = network.predict(images)
    assert (answers.classes.numpy() == labels).mean() > 0.9
    assert set(answers.exits.tolist()) <= {0, 1}
    assert torch.equal(network.predict(torch.from_numpy(images)).classes, answers.classes)
    assert network.predict(images[0]).classes.tolist() == answers.classes[:1].tolist()
    assert network.class_names == tuple("0123456789")
    assert result.test[-1] > 0.9
    assert "validation" in result.table()
    assert set(result.by_class) == set("0123456789")
    assert result.class_table().count("\n") == 11


def test_seconds_by_a_latency_table_are_a_limit_and_a_metric(space, sample, table_of_macs, tmp_path):
    table = str(table_of_macs(space))

    def train(folder, **options):
        settings = Settings.from_options(epochs=1, threads=1, tensorboard=False, latency_table=table, **options)
        return train_one(space, sample, settings, folder, lambda line: None)

    train(tmp_path / "net", max_latency_s=1.0)
    stored = record.load(tmp_path / "net")
    assert stored.exit_latency_s == pytest.approx([1e-9 * macs for macs in space.exit_costs(sample)], rel=1e-3)
    assert stored.metrics["latency_s"] == pytest.approx(1e-9 * stored.metrics["avg_macs"], rel=0.1)
    with pytest.raises(ValueError, match="this network misses a limit"):
        train(tmp_path / "slow", max_latency_s=1e-12)


def test_a_trial_without_its_preprocessing_says_that_it_is_of_an_earlier_version(trained, tmp_path):
    folder, _ = trained
    content = json.loads((folder / record.SUMMARY).read_text())
    content["checksums"].pop(record.PREPROCESSING)
    for name in (record.WEIGHTS, record.OUTPUTS):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / record.SUMMARY).write_text(json.dumps(content))
    with pytest.raises(ValueError, match="is of an earlier version"):
        EarlyExitNetwork.load(tmp_path)


def test_a_folder_without_a_trial_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no finished trial in .*none"):
        EarlyExitNetwork.load(tmp_path / "none")


def test_a_damaged_preprocessing_is_found(trained, tmp_path):
    folder, _ = trained
    for path in folder.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / record.PREPROCESSING).write_text("{}")
    with pytest.raises(record.Damaged, match="its checksum is not that of what the trial wrote"):
        EarlyExitNetwork.load(tmp_path)


def test_a_finished_training_is_not_done_again_and_another_one_is_refused(space, sample, trained):
    folder, result = trained
    said = []
    again = train_one(space, sample, Settings.from_options(epochs=4), folder, said.append)
    assert any("finished before" in line for line in said)
    assert again.test == result.test
    with pytest.raises(ValueError, match="holds a training with another settings; choose another folder"):
        train_one(space, sample, Settings.from_options(epochs=5), folder)
    assert not (folder / CHECKPOINT).exists()


def test_a_folder_that_holds_a_trial_is_left_alone_and_a_mistake_claims_none(space, sample, trained, tmp_path):
    folder, _ = trained
    (tmp_path / record.SUMMARY).write_bytes((folder / record.SUMMARY).read_bytes())
    with pytest.raises(ValueError, match="holds a trial of an experiment; choose another folder"):
        train_one(space, sample, Settings.from_options(epochs=1), tmp_path)
    other = tmp_path / "other"
    with pytest.raises(ValueError, match="optimizer: 'adamww' is unknown"):
        train_one(space, sample, Settings.from_options(epochs=1, optimizer="adamww"), other)
    assert train_one(space, sample, Settings.from_options(epochs=1), other, lambda line: None).test


def test_samples_are_files_trials_or_words(space, sample, trained, tmp_path):
    folder, _ = trained
    (tmp_path / "sample.json").write_text(json.dumps({"space": space.identity(), **sample}))
    assert choose_sample(space, str(tmp_path / "sample.json"), 0) == sample
    assert choose_sample(space, str(folder), 0) == sample
    assert choose_sample(space, "random", 3) == choose_sample(space, "random", 3) != choose_sample(space, "random", 4)
    costs = [space.exit_costs(choose_sample(space, word, 0))[-1] for word in ("smallest", "random", "largest")]
    assert costs == sorted(costs)
    with pytest.raises(FileNotFoundError, match="sample: 'smalest' is not possible; largest, smallest, random, a JSON"):
        choose_sample(space, "smalest", 0)
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(ValueError, match="does not hold an object"):
        choose_sample(space, str(tmp_path / "list.json"), 0)


def test_a_function_of_ones_own_can_train(space, sample):
    from nni_earlyexit import EarlyExitEvaluator

    seen = []

    def train(network, data, recipe, after_epoch):
        seen.append((network, data.train.x.shape, recipe.epochs))
        assert after_epoch(1, network)

    result = EarlyExitEvaluator(epochs=1, train=train).evaluate(space.freeze(sample))
    assert seen[0][1][1:] == (1, 8, 8)
    assert result.metrics["epochs"] == 1
    assert 0 <= result.metrics["accuracy"] <= 1
    assert np.isfinite(result.metrics["default"])
