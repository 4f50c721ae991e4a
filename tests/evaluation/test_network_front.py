from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from nni_earlyexit import EarlyExitEvaluator
from nni_earlyexit import data as data_sets
from nni_earlyexit.evaluation import network_front as front
from nni_earlyexit.evaluation import record
from nni_earlyexit.evaluation import stored_outputs as refit
from nni_earlyexit.experiment import run
from nni_earlyexit.nn.logits import exit_logits
from nni_earlyexit.report import front_report
from nni_earlyexit.thresholds import confidence as measures
from nni_earlyexit.utils import files
from PIL import Image


@pytest.fixture(scope="module")
def records(experiment):
    return front.finished(experiment)


def test_every_finished_trial_is_found(records):
    assert [found.folder.name for found in records] == ["a", "b", "c", "d"]


def test_a_stored_network_gives_the_outputs_that_were_stored(records):
    for found in records[:3]:
        with np.load(found.folder / record.OUTPUTS) as stored:
            data = data_sets.load("digits", found.settings.training.seed)
            network = found.network()
            assert not any(name.startswith("test") for name in stored.files)
            for name, split in (("validation", data.validation), ("calibration", data.calibration)):
                own = exit_logits(network, split.x)
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


@pytest.fixture
def copy(experiment, tmp_path):
    """A copy of the experiment, whose trials may be damaged."""
    shutil.copytree(experiment, tmp_path / "copy")
    return tmp_path / "copy"


def trial_file(experiment, trial, name):
    return experiment / "environments" / "local-env" / "trials" / trial / name


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def flip(path):
    """Turn one bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES = [
    (record.WEIGHTS, truncate, "its checksum is not that of what the trial wrote"),
    (record.WEIGHTS, flip, "its checksum is not that of what the trial wrote"),
    (record.WEIGHTS, Path.unlink, "No such file or directory"),
    (record.SUMMARY, truncate, "is not JSON"),
    (record.SUMMARY, lambda path: path.write_text("null"), "format None is not 2"),
    (record.SUMMARY, lambda path: path.write_text("[" * 100_000), "is not JSON that can be read"),
    (
        record.SUMMARY,
        lambda path: path.write_text(path.read_text().replace('"accuracy": 0', '"accuracy": 1')),
        "its checksum is not that of what the trial wrote",
    ),
]


@pytest.mark.parametrize(("name", "damage", "reason"), DAMAGES)
def test_a_damaged_trial_is_named_and_left_out_and_the_front_is_that_of_the_others(
    copy, records, tmp_path, name, damage, reason
):
    best = max(records[:3], key=lambda found: found.metrics["accuracy"])  # one that is on the front
    damage(trial_file(copy, best.folder.name, name))
    said = []
    assert run.write_front(copy, tmp_path / "results", said.append)
    (left_out,) = [line for line in said if line.startswith("left out")]
    assert best.folder.name in left_out
    assert reason in left_out
    written = json.loads((tmp_path / "results" / "front.json").read_text())["front"]
    others = [found for found in records if found.folder.name != best.folder.name]
    expected = {found.folder.name for found in front.best_of(others)}
    assert {Path(member["trial_folder"]).name for member in written} == expected


def test_damaged_outputs_are_refused_when_cutoffs_are_fitted_to_them(copy):
    flip(trial_file(copy, "a", record.OUTPUTS))
    with pytest.raises(ValueError, match=r"outputs.npz: its checksum is not that of what the trial wrote"):
        refit.source(str(copy), "a")


def test_a_trial_of_before_there_were_checksums_is_read(copy, records):
    path = trial_file(copy, "a", record.SUMMARY)
    summary = json.loads(path.read_text())
    del summary["checksums"]
    path.write_text(json.dumps({**summary, "format": record.UNCHECKED_FORMAT}))
    found = record.load(path.parent)
    assert found.metrics == records[0].metrics
    assert found.network().exit_costs == records[0].network().exit_costs
    truncate(trial_file(copy, "a", record.WEIGHTS))
    with pytest.raises(record.Damaged, match=r"weights.safetensors: .*header"):
        found.network()


def test_a_finished_trial_whose_files_are_damaged_does_not_count_as_finished(copy, records):
    found = records[0]
    folder = trial_file(copy, "a", record.SUMMARY).parent
    assert record.finished(folder, found.sample, found.settings, found.space).metrics == found.metrics
    assert record.finished(folder, found.sample, found.settings, "digits/2 max_exits=1") is None
    truncate(folder / record.OUTPUTS)
    assert record.finished(folder, found.sample, found.settings, found.space) is None


def test_a_network_whose_data_are_others_now_is_left_out(tmp_path, digits_space):
    """The file was written again with other inputs."""
    x, y = np.random.default_rng(0).normal(size=(100, 1, 8, 8)), np.arange(100) % 10
    np.savez(tmp_path / "data.npz", x=x, y=y)
    evaluator = EarlyExitEvaluator(data=str(tmp_path / "data.npz"), epochs=1, threads=1)
    sample, _ = digits_space.cheapest(exit=-1)
    trial = tmp_path / "environments" / "local-env" / "trials" / "a"
    record.save(evaluator.evaluate(digits_space.freeze(sample)), trial, evaluator.settings)
    np.savez(tmp_path / "data.npz", x=x.repeat(3, axis=1), y=y)
    said = []
    assert front.judged(front.finished(tmp_path), said.append) == []
    assert "left out a: data: " in said[-1]
    assert "has inputs (3, 8, 8) of 10 classes, the network takes (1, 8, 8)" in said[-1]


SPLITS = ("calibration", "test")

RUNS = "from pathlib import Path; Path({!r}).touch()"


def front_command(folder, *arguments):
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "nni_earlyexit.cli",
            "front",
            str(folder),
            "--results",
            str(folder / "results"),
            *arguments,
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(folder)},
        check=False,
    )


@pytest.mark.parametrize("module", ["own.space", pytest.param("venv.__main__", marks=pytest.mark.slow)])
def test_a_trials_folder_does_not_choose_which_module_runs(copy, module):
    (copy / "own").mkdir()
    (copy / "own" / "space.py").write_text(f"{RUNS.format(str(copy / 'ran'))}\nclass Space: name = 'own.space'\n")
    for trial in "abc":
        path = trial_file(copy, trial, record.SUMMARY)
        summary = json.loads(path.read_text())
        del summary["checksums"]
        path.write_text(json.dumps({**summary, "format": record.UNCHECKED_FORMAT, "space": module}))

    done = front_command(copy)
    assert done.returncode == 1
    assert done.stderr == ""
    assert (
        f"left out a, b, c: space: {module!r} is a Python module, which a stored file cannot choose to run; allow it, if you "
        f"trust it, with --allow-space {module}" in done.stdout
    )
    assert not (copy / "ran").exists()

    front_command(copy, "--allow-space", module)
    assert (copy / "ran").exists() == (module == "own.space")


def test_the_front_is_chosen_by_validation_among_what_keeps_the_limits(records):
    chosen = front.best_of(records)
    values = [(found.metrics["avg_macs"], found.metrics["accuracy"]) for found in records[:3]]
    expected = {v for v in values if not any(o[0] <= v[0] and o[1] >= v[1] and o != v for o in values)}
    assert {(found.metrics["avg_macs"], found.metrics["accuracy"]) for found in chosen} == expected


def test_cutoffs_are_fitted_on_calibration_data_and_judged_on_test_data(records):
    (member,) = front.judge(records[1:2])
    task = data_sets.load("digits", records[1].settings.training.seed)
    network = records[1].network()
    logits = exit_logits(network, task.test.x)
    exits = member.policy.exits(logits)
    assert member.accuracy == pytest.approx((member.policy.predict(logits) == task.test.y.numpy()).mean())
    paid = np.array(member.policy.costs_without_dropped(network.exit_costs, network.branch_costs))
    assert member.avg_macs == pytest.approx(paid[exits].mean())
    assert sum(member.shares) == pytest.approx(1)
    calibration = exit_logits(network, task.calibration.x)
    known = {*measures.max_prob(calibration).ravel().tolist(), np.inf, -np.inf}
    assert set(member.policy.cutoffs) <= known


def test_it_is_said_how_far_the_cutoffs_of_its_networks_can_be_trusted(records):
    members = front.judge(records[:3])
    for member in members:
        lines = front_report.concerns(member)
        assert member.diagnostics[0].name == "optimism"
        for diagnostic in member.diagnostics:
            assert (f"concern: {diagnostic.message}" in lines) == diagnostic.concern
            assert diagnostic.to_dict() in member.to_dict()["diagnostics"]


def test_it_is_written_as_json_and_picture_and_said_as_a_table(experiment, tmp_path):
    said = []
    assert run.write_front(experiment, tmp_path / "results", said.append)
    written = json.loads((tmp_path / "results" / "front.json").read_text())
    assert (written["experiment"], written["trials"]) == (experiment.name, 4)
    assert len(written["front"]) == len(front.best_of(front.finished(experiment)))
    table = next(text for text in said if "test acc" in text)
    for member in written["front"]:
        low, high = member["test"]["interval"]
        assert f"{member['test']['accuracy']:.4f} ({low:.3f} to {high:.3f})" in table
        assert f"trial {member['trial']}" in table
        assert len(member["trade_off"]) > 1
    assert [member["trial"] for member in written["front"] if member["recommended"]] == [written["recommended"]]
    with Image.open(tmp_path / "results" / "front.png") as picture:
        assert picture.format == "PNG"


def test_other_cutoffs_of_a_network_are_taken_by_calibration_data_and_judged_on_test_data(records):
    (member,) = front.judge(records[1:2])
    task = data_sets.load("digits", records[1].settings.training.seed)
    network = records[1].network()
    outputs = {
        name: (exit_logits(network, split.x), split.y.numpy()) for name, split in vars(task).items() if name in SPLITS
    }
    assert [point.policy == member.policy for point in member.trade_off].count(True) == 1
    assert len(member.trade_off) > 2
    for point in member.trade_off:
        paid = np.array(point.policy.costs_without_dropped(network.exit_costs, network.branch_costs))
        for own, (logits, labels) in zip((point.calibration, point.test), outputs.values(), strict=True):
            assert own.accuracy == pytest.approx((point.policy.predict(logits) == labels).mean())
            assert own.avg_cost == pytest.approx(paid[point.policy.exits(logits)].mean())
    costs = [point.calibration.avg_cost for point in member.trade_off]
    assert costs == sorted(costs)


def test_an_experiment_without_finished_trials_writes_nothing(tmp_path):
    said = []
    assert not run.write_front(tmp_path, tmp_path / "results", said.append)
    assert "no finished trial within the limits" in said[0]
    assert not Path(tmp_path / "results").exists()
