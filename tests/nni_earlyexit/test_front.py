from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from nni_earlyexit import EarlyExitEvaluator, files, front, plot, record, run, training
from nni_earlyexit import confidence as measures
from nni_earlyexit import data as data_sets
from PIL import Image


@pytest.fixture(scope="module")
def experiment(tmp_path_factory, digits_space, two_exits):
    """The folder of an experiment with three really trained networks and one over the limit."""
    folder = tmp_path_factory.mktemp("experiment")
    trials = folder / "environments" / "local-env" / "trials"
    for name, change, epochs in (("a", {}, 1), ("b", {"stage1_depth": 2}, 3), ("c", {"exit1_present": "yes"}, 2)):
        evaluator = EarlyExitEvaluator(epochs=epochs, threads=1, seed=1)
        torch.manual_seed(0)
        evaluation = evaluator.evaluate(digits_space.freeze({**two_exits, **change}))
        record.save(evaluation, trials / name, evaluator.settings)
    evaluator = EarlyExitEvaluator(max_full_macs=90_000)
    record.save(evaluator.evaluate(digits_space.freeze(two_exits)), trials / "d", evaluator.settings)
    (trials / "running").mkdir()
    return folder


@pytest.fixture(scope="module")
def records(experiment):
    return front.finished(experiment)


def test_every_finished_trial_is_found(records):
    assert [found.folder.name for found in records] == ["a", "b", "c", "d"]


def test_a_stored_network_gives_the_outputs_that_were_stored(records):
    for found in records[:3]:
        with np.load(found.folder / record.OUTPUTS) as stored:
            data = data_sets.load("digits", found.settings.seed)
            network = found.network()
            assert not any(name.startswith("test") for name in stored.files)
            for name, split in (("validation", data.validation), ("calibration", data.calibration)):
                own = training.outputs(network, split.x)
                np.testing.assert_allclose(own, stored[f"{name}_logits"], rtol=1e-4, atol=1e-4)
                assert stored[f"{name}_labels"].tolist() == split.y.tolist()
            assert stored["exit_costs"].tolist() == network.exit_costs
            assert stored["branch_costs"].tolist() == network.branch_costs
            # the policy belongs to these outputs
            right = found.policy.predict(stored["validation_logits"]) == stored["validation_labels"]
            assert right.mean() == pytest.approx(found.metrics["accuracy"])


def test_a_network_over_the_limit_leaves_no_weights_but_is_recorded(records):
    assert records[3].policy is None
    assert not (records[3].folder / record.WEIGHTS).exists()
    assert records[3].metrics["feasible"] == 0


def test_the_summary_is_written_last(tmp_path, digits_space, two_exits, monkeypatch):
    evaluator = EarlyExitEvaluator(epochs=1, threads=1)
    evaluation = evaluator.evaluate(digits_space.freeze(two_exits))
    order = []
    original = files.write_whole
    monkeypatch.setattr(files, "write_whole", lambda path, write: (order.append(path.name), original(path, write)))
    record.save(evaluation, tmp_path, evaluator.settings)
    assert order[-1] == record.SUMMARY
    assert sorted(order) == sorted(path.name for path in tmp_path.iterdir())


def test_members_say_within_which_interval_their_accuracy_lies(records):
    for member in front.judge(records[:2]):
        low, high = member.interval
        assert 0 <= low < member.accuracy < high <= 1
        assert high - low < 0.11  # 359 test inputs
        assert member.to_dict()["test"]["interval"] == [low, high]
        assert f"{member.accuracy:.4f} ({low:.3f} to {high:.3f})" in front.table([member])


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    files.write_json(tmp_path / "file.json", {"old": 1})
    with pytest.raises(ValueError, match="Out of range float"):
        files.write_json(tmp_path / "file.json", {"new": float("inf")})
    assert [path.name for path in tmp_path.iterdir()] == ["file.json"]
    assert json.loads((tmp_path / "file.json").read_text()) == {"old": 1}


def test_a_record_of_another_format_is_refused(tmp_path):
    (tmp_path / record.SUMMARY).write_text('{"format": 99}')
    with pytest.raises(ValueError, match="format 99 is not 2"):
        record.load(tmp_path)


def test_the_front_is_chosen_by_validation_among_what_keeps_the_limits(records):
    chosen = front.non_dominated(records)
    values = [(found.metrics["avg_macs"], found.metrics["accuracy"]) for found in records[:3]]
    expected = {v for v in values if not any(o[0] <= v[0] and o[1] >= v[1] and o != v for o in values)}
    assert {(found.metrics["avg_macs"], found.metrics["accuracy"]) for found in chosen} == expected


def test_cutoffs_are_fitted_on_calibration_data_and_judged_on_test_data(records):
    (member,) = front.judge(records[1:2])
    task = data_sets.load("digits", records[1].settings.seed)
    network = records[1].network()
    logits = training.outputs(network, task.test.x)
    exits = member.policy.exits(logits)
    assert member.accuracy == pytest.approx((member.policy.predict(logits) == task.test.y.numpy()).mean())
    paid = np.array(member.policy.exit_costs(network.exit_costs, network.branch_costs))
    assert member.avg_macs == pytest.approx(paid[exits].mean())
    assert sum(member.shares) == pytest.approx(1)
    calibration = training.outputs(network, task.calibration.x)
    known = {*measures.max_prob(calibration).ravel().tolist(), np.inf, -np.inf}
    assert set(member.policy.cutoffs) <= known


def test_it_is_said_how_far_the_cutoffs_of_its_networks_can_be_trusted(records):
    members = front.judge(records[:3])
    lines = front.concerns(members)
    for number, member in enumerate(members, 1):
        assert member.diagnostics[0].name == "optimism"
        for diagnostic in member.diagnostics:
            assert (f"network {number}: {diagnostic.message}" in lines) == diagnostic.concern
            assert diagnostic.to_dict() in member.to_dict()["diagnostics"]


def test_it_is_written_as_json_and_picture_and_said_as_a_table(experiment, tmp_path):
    said = []
    assert run.write_front(experiment, tmp_path / "results", said.append)
    written = json.loads((tmp_path / "results" / "front.json").read_text())
    assert (written["experiment"], written["trials"]) == (experiment.name, 4)
    assert len(written["front"]) == len(front.non_dominated(front.finished(experiment)))
    table = next(text for text in said if "test acc" in text)
    assert all(f"{member['test']['accuracy']:.4f}" in table for member in written["front"])
    with Image.open(tmp_path / "results" / "front.png") as picture:
        assert picture.format == "PNG"


def test_a_single_network_can_be_drawn(records, tmp_path):
    plot.save(front.judge(records[:1]), records[:1], tmp_path / "one.png")
    assert (tmp_path / "one.png").stat().st_size > 10_000


def test_an_experiment_without_finished_trials_writes_nothing(tmp_path):
    said = []
    assert not run.write_front(tmp_path, tmp_path / "results", said.append)
    assert "no finished trial within the limits" in said[0]
    assert not Path(tmp_path / "results").exists()
