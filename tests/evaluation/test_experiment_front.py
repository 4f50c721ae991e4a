"""The front of an experiment that was really trained, with the static networks beside it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from nni_earlyexit import data as data_sets
from nni_earlyexit.deploy.pick import picked_network
from nni_earlyexit.evaluation import record
from nni_earlyexit.evaluation.experiment_front import experiment_front
from nni_earlyexit.evaluation.held_out import held_out
from nni_earlyexit.nn.logits import exit_logits
from nni_earlyexit.search.goal import score
from nni_earlyexit.thresholds.outputs_file import load as load_outputs
from nni_earlyexit.utils.files import checksum


@pytest.fixture(scope="module")
def front(experiment):
    return experiment_front(experiment, lambda line: None)


@pytest.fixture(scope="module")
def splits(front):
    task = data_sets.load("digits", front.trials[0].settings.training.seed)
    return {name: getattr(task, name) for name in ("validation", "calibration", "test")}


def right(network, split):
    return exit_logits(network, split.x).argmax(axis=-1) == split.y.numpy()[:, None]


def test_the_network_that_is_recommended_has_the_best_validation_data_under_the_cutoffs_that_it_has_now(front, splits):
    logits, labels = {}, splits["validation"].y.numpy()
    scores = []
    for member in front.members:
        network = member.record.network()
        logits = exit_logits(network, splits["validation"].x)
        paid = np.array(member.policy.costs_without_dropped(network.exit_costs, network.branch_costs))
        accuracy = (member.policy.predict(logits) == labels).mean()
        scores.append(score(accuracy, paid[member.policy.exits(logits)].mean()))
    assert front.take is front.members[int(np.argmax(scores))]
    assert [own.score for own in front.held_out] == pytest.approx(scores)


def test_export_takes_what_the_front_recommends(front, experiment):
    chosen, settings = picked_network(str(experiment), None)
    assert (chosen.folder, settings) == (front.take.record.folder, front.take.record.settings)


def test_the_static_network_beside_one_is_the_cheapest_that_is_as_accurate_on_what_was_held_out(front, splits):
    alone = {}
    for trial in front.trials[:3]:  # the fourth is over the limit
        network = trial.network()
        for exit in range(len(network.exit_stages)):
            cut = network.keep([exit])
            own = np.concatenate([right(cut, splits[name])[:, 0] for name in ("validation", "calibration")])
            alone[trial.folder.name, exit] = cut.exit_costs[0], own.mean(), right(cut, splits["test"])[:, 0].mean()
    assert len(alone) > 5
    for member, beside in zip(front.members, front.static, strict=True):
        outputs = load_outputs(member.record.file(record.OUTPUTS))
        own = held_out(member.record, outputs).accuracy
        enough = [macs for macs, accuracy, _ in alone.values() if accuracy >= own]
        if not enough:
            assert beside is None
            continue
        macs, _, test = alone[beside.static.trial.folder.name, beside.static.exit]
        assert macs == beside.static.macs == min(enough)
        assert beside.accuracy == pytest.approx(test)
        assert beside.interval[0] < beside.accuracy < beside.interval[1]


def test_rows_and_files_are_plain_data(front):
    rows = json.loads(json.dumps(front.rows()))
    assert {row["trial"] for row in rows} == {member.trial for member in front.members}
    for row in rows:
        member = front.members[row["number"] - 1]
        assert (row["trial"], row["accuracy"], row["cutoffs"][-1]) == (member.trial, member.accuracy, None)
    frame = front.to_pandas()
    assert frame["avg_macs"].tolist() == [row["avg_macs"] for row in rows]
    json.dumps(front.to_dict(), allow_nan=False)


def test_a_network_whose_outputs_are_damaged_is_judged_and_not_recommended(front, experiment, tmp_path):
    shutil.copytree(experiment, tmp_path / "copy")
    outputs = tmp_path / "copy" / front.take.record.folder.relative_to(experiment) / record.OUTPUTS
    outputs.write_bytes(outputs.read_bytes()[:-1])
    said = []
    damaged = experiment_front(tmp_path / "copy", said.append)
    assert [member.trial for member in damaged.members] == [member.trial for member in front.members]
    assert len(damaged.members) == 1 or damaged.take.trial != front.take.trial
    assert any(line.startswith(f"left out {front.take.trial}: ") for line in said)


def test_a_static_network_that_cannot_be_judged_makes_room_for_the_next(front, experiment, tmp_path):
    shutil.copytree(experiment, tmp_path / "copy")
    peers = [own for own in front.static if own is not None]
    if not peers:
        pytest.skip("no static network is as accurate")
    trial = peers[0].static.trial.folder
    folder = tmp_path / "copy" / trial.relative_to(experiment)
    (folder / record.WEIGHTS).write_bytes(b"")
    summary = json.loads((folder / record.SUMMARY).read_text())
    assert checksum(folder / record.WEIGHTS) != summary["checksums"][record.WEIGHTS]
    damaged = experiment_front(tmp_path / "copy", lambda line: None)
    assert all(own is None or own.static.trial.folder.name != trial.name for own in damaged.static)
    assert Path(trial).name not in [member.trial for member in damaged.members]
