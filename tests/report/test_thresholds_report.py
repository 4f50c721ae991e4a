from __future__ import annotations

import csv
import io
import json
import sys

import numpy as np
import pytest
import torch
from nni_earlyexit import EarlyExitEvaluator, ExitPolicy, ThresholdOptimizer
from nni_earlyexit.cli.main import main
from nni_earlyexit.evaluation import record
from nni_earlyexit.evaluation import stored_outputs as refit
from nni_earlyexit.report import thresholds_report
from PIL import Image

COSTS, BRANCHES = np.array([1e6, 2.5e6, 4e6]), np.array([1e5, 2e5, 1e3])


def outputs(inputs, seed):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, inputs)
    skill = np.array([0.5, 1.0, 2.0])[:, None]
    return rng.normal(size=(inputs, 3, 3)) + skill * np.eye(3)[y][:, None], y


@pytest.fixture
def file(tmp_path):
    arrays = {"exit_costs": COSTS, "branch_costs": BRANCHES}
    for seed, name in enumerate(("calibration", "test")):
        arrays[f"{name}_logits"], arrays[f"{name}_labels"] = outputs(800, seed)
    np.savez(tmp_path / "outputs.npz", **arrays)
    return tmp_path / "outputs.npz"


def call(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["nni-earlyexit", "thresholds", *map(str, arguments)])
    main()
    return capsys.readouterr().out


def test_a_file_of_outputs_gives_table_policy_and_picture(monkeypatch, capsys, file):
    said = call(monkeypatch, capsys, file, "--max-avg-macs", "2M")
    opt = ThresholdOptimizer(max_cost=2e6).fit(*outputs(800, 0), COSTS, branch_costs=BRANCHES)
    written = json.loads((file.parent / "outputs.policy.json").read_text())
    assert ExitPolicy.from_dict(written["policy"]) == opt.policy_
    assert written["calibration"] == opt.chosen_.to_dict()
    assert written["optimizer"]["max_cost"] == 2e6
    assert written["diagnostics"][0]["name"] == "optimism"
    # the policy was fitted without the test arrays and is judged on them
    logits, y = outputs(800, 1)
    assert written["test"]["accuracy"] == pytest.approx((opt.predict(logits) == y).mean())
    assert f"calibration: accuracy {opt.chosen_.accuracy:.4f} at" in said
    assert f"test: accuracy {written['test']['accuracy']:.4f} at" in said
    assert said.splitlines()[0].split()[:3] == ["exit", "MACs", "alone"]
    assert len([line for line in said.splitlines() if line[0].isdigit()]) == 3
    with Image.open(file.parent / "outputs.thresholds.png") as picture:
        assert picture.size == (1050, 675)


def test_a_guarantee_can_be_asked_for_and_its_warning_is_a_sentence(monkeypatch, capsys, file, tmp_path):
    call(
        monkeypatch, capsys, file, "--guarantee", "5%", "--guarantee-probability", "90%", "--results", tmp_path / "new"
    )
    written = json.loads((tmp_path / "new" / "outputs.policy.json").read_text())
    assert written["optimizer"]["guarantee"] == {"max_drop": 0.05, "confidence": 0.9, "test_size": 0.5, "among": "all"}
    assert written["certificate"]["certified"] > 0
    said = call(monkeypatch, capsys, file, "--guarantee", "0.01%")
    assert "concern: guarantee: 400 inputs of its test cannot show with confidence 0.95" in said
    assert "dropped" in said


@pytest.mark.parametrize("confidence", ["margin", "patience", "learned"])
def test_a_measure_can_be_chosen(monkeypatch, capsys, file, confidence):
    call(monkeypatch, capsys, file, "--confidence", confidence, "--temperature-scaling", "--knee")
    written = json.loads((file.parent / "outputs.policy.json").read_text())
    policy = ExitPolicy.from_dict(written["policy"])
    assert policy.confidence == confidence
    assert policy.temperatures is not None
    assert (written["confidence_macs"] > 0) == (confidence == "learned" and len(policy.kept) > 1)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory, digits_space, two_exits):
    """The folder of an experiment with a really trained trial, one over the limit, and one that still runs."""
    home = tmp_path_factory.mktemp("home")
    trials = home / "nni-experiments" / "abc123xy" / "environments" / "local-env" / "trials"
    for name, limit in (("good1", None), ("over2", 90_000)):
        evaluator = EarlyExitEvaluator(epochs=2, threads=1, max_full_macs=limit, tolerance=0.02)
        torch.manual_seed(0)
        record.save(evaluator.evaluate(digits_space.freeze(two_exits)), trials / name, evaluator.settings)
    (trials / "runs3").mkdir()
    return home


def test_a_trial_gets_other_cutoffs_without_its_network(monkeypatch, capsys, experiment):
    monkeypatch.setenv("HOME", str(experiment))
    folder = experiment / "nni-experiments" / "abc123xy" / "environments" / "local-env" / "trials" / "good1"
    (folder / record.WEIGHTS).rename(folder / "elsewhere")
    try:
        said = call(monkeypatch, capsys, "abc123xy", "--trial", "good1", "--max-drop", "1%")
    finally:
        (folder / "elsewhere").rename(folder / record.WEIGHTS)
    written = json.loads((folder / thresholds_report.POLICY).read_text())
    with np.load(folder / record.OUTPUTS) as stored:
        opt = ThresholdOptimizer(max_drop=0.01)
        opt.fit(
            stored["calibration_logits"],
            stored["calibration_labels"],
            stored["exit_costs"],
            branch_costs=stored["branch_costs"],
        )
    assert ExitPolicy.from_dict(written["policy"]) == opt.policy_
    assert written["test"] is None  # a trial never sees test data
    assert (folder / thresholds_report.PICTURE).is_file()
    assert str(folder / thresholds_report.POLICY) in said
    # the trial itself stays as it was
    assert record.load(folder).policy is not None


def test_a_policy_that_is_there_is_replaced_only_when_that_is_asked_for(monkeypatch, capsys, file):
    call(monkeypatch, capsys, file, "--max-drop", "1%")
    before = (file.parent / "outputs.policy.json").read_bytes()
    with pytest.raises(SystemExit) as end:
        call(monkeypatch, capsys, file, "--max-drop", "5%")
    assert end.value.code == 2
    assert "policy.json' is there already; give another folder, or --overwrite" in capsys.readouterr().err
    assert (file.parent / "outputs.policy.json").read_bytes() == before
    call(monkeypatch, capsys, file, "--max-drop", "5%", "--overwrite")
    assert (file.parent / "outputs.policy.json").read_bytes() != before


def test_programs_get_json_or_a_row_per_exit(monkeypatch, capsys, file, tmp_path):
    said = json.loads(call(monkeypatch, capsys, file, "--max-drop", "1%", "--json"))
    assert said == json.loads((file.parent / "outputs.policy.json").read_text())
    rows = list(csv.DictReader(io.StringIO(call(monkeypatch, capsys, file, "--csv", "--results", tmp_path / "new"))))
    assert [row["exit"] for row in rows] == ["0", "1", "2"]
    assert sum(float(row["share"]) for row in rows) == pytest.approx(1)


def test_without_a_goal_it_is_that_of_the_trial(monkeypatch, capsys, experiment):
    path = experiment / "nni-experiments" / "abc123xy"
    call(monkeypatch, capsys, path, "--trial", "good1", "--overwrite")
    written = json.loads(
        (path / "environments" / "local-env" / "trials" / "good1" / thresholds_report.POLICY).read_text()
    )
    assert written["optimizer"]["tolerance"] == 0.02


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["none.npz"], "outputs: there is no file 'none.npz'"),
        (["abc123xz"], "experiment: 'abc123xz' is unknown; did you mean 'abc123xy'?"),
        (["abc123xy"], "trial: --trial is needed with an experiment; it has 3, such as good1, over2, runs3"),
        (["abc123xy", "--trial", "good2"], "trial: 'good2' is unknown; did you mean 'good1'"),
        (["abc123xy", "--trial", "over2"], "trial: 'over2' missed a limit and was not trained, so it has no outputs"),
        (["abc123xy", "--trial", "runs3"], "trial: 'runs3' is not finished, so it has no outputs"),
        (
            ["abc123xy", "--trial", "good1", "--max-avg-macs", "1"],
            "max_avg_macs: 1 cannot be met; the cheapest policy",
        ),
        (
            ["abc123xy", "--trial", "good1", "--confidence", "max_pro"],
            "confidence: 'max_pro' is unknown; did you mean 'max_prob'",
        ),
        (["abc123xy", "--trial", "good1", "--max-drop", "x"], "--max-drop: 'x' is not a share; examples: 0.01, 1%"),
        (["abc123xy", "--trial", "good1", "--max-drop", "1%", "--knee"], "max_drop and knee: only one of them can be"),
        (["abc123xy", "--trial", "good1", "--guarantee", "0"], "max_drop of a guarantee: 0.0 is not possible"),
        (["abc123xy", "--trial", "good1", "--results", f"{__file__}/x"], f"results: '{__file__}"),
    ],
)
def test_bad_input_ends_with_one_sentence_and_writes_nothing(monkeypatch, capsys, experiment, arguments, sentence):
    monkeypatch.setenv("HOME", str(experiment))
    before = sorted(experiment.rglob("*"))
    with pytest.raises(SystemExit) as end:
        call(monkeypatch, capsys, *arguments, "--overwrite")
    assert end.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"nni-earlyexit: {sentence}")
    assert said.err.count("\n") == 1
    assert sorted(experiment.rglob("*")) == before


def test_the_folder_of_an_experiment_elsewhere_is_found_by_what_nni_knows(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "other" / "qwertyui").mkdir(parents=True)
    (tmp_path / "nni-experiments").mkdir()
    known = {"qwertyui": {"id": "qwertyui", "logDir": str(tmp_path / "other")}}
    (tmp_path / "nni-experiments" / ".experiment").write_text(json.dumps(known))
    assert refit.experiment_folder("qwertyui") == tmp_path / "other" / "qwertyui"
