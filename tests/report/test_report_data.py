"""The data of the report: the numbers on its page are those of the package's own functions."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
import yaml
from nni_earlyexit.cli.report import command
from nni_earlyexit.evaluation import network_front, record
from nni_earlyexit.evaluation import nni_database as database
from nni_earlyexit.evaluation.best_so_far import best_so_far
from nni_earlyexit.report.html import failures, network, reproduction, trials
from nni_earlyexit.report.html.experiment import read
from nni_earlyexit.report.html.importance import permutation
from nni_earlyexit.report.html.live import follow
from nni_earlyexit.report.html.page import write_report
from nni_earlyexit.report.html.progress import progress
from searches import CHANGES, FAILURES, OVER, RUNNING, write_database, write_search

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory, digits_space, two_exits):
    return write_search(tmp_path_factory.mktemp("search"), digits_space, two_exits, ("aaaaa", "ccccc", "ddddd"))


@pytest.fixture(scope="module")
def experiment(folder):
    return read(folder)


def content(path):
    """The data in a report."""
    text = path.read_text().partition('<script type="application/json" id="data">')[2]
    return json.loads(text.partition("</script>")[0])


def test_trials_stand_in_the_order_in_which_they_ended(experiment):
    assert [trial.folder.name for trial in experiment.trials] == ["aaaaa", "ccccc", "ddddd", OVER]
    assert list(experiment.ended_s) == [30, 90, 150, 210]
    columns = trials.columns(experiment)
    assert columns["number"] == [0, 1, 2, 3]
    assert columns["within"] == [True, True, True, False]
    assert columns["accuracy"][:3] == pytest.approx([trial.metrics["accuracy"] for trial in experiment.trials[:3]])


def test_the_front_is_that_of_the_command_front(experiment, folder):
    assert experiment.front == network_front.best_of(network_front.finished(folder))


def test_without_a_database_the_files_say_when_trials_ended(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    shutil.rmtree(copy / "db")
    experiment = read(copy)
    assert experiment.database == database.Database()
    assert {trial.folder.name for trial in experiment.trials} == {"aaaaa", "ccccc", "ddddd", OVER}
    assert all(seconds >= 0 for seconds in experiment.ended_s)
    said = failures.failures(experiment)
    assert (said["running"], sum(len(own["trials"]) for own in said["failed"])) == (1, len(FAILURES))


def test_a_database_that_is_none_counts_as_none(tmp_path):
    (tmp_path / "db").mkdir()
    (tmp_path / database.FILE).write_bytes(b"not a database" * 100)
    assert database.read(tmp_path) == database.Database()


def test_failures_that_differ_in_numbers_only_are_one(experiment):
    said = failures.failures(experiment)
    (group,) = said["failed"]
    assert sorted(group["trials"]) == sorted(FAILURES)
    assert group["reason"] in FAILURES.values()
    assert (said["running"], said["over"]) == (1, 1)
    concerns = {own["name"] for trial in experiment.within() for own in trial.diagnostics if own["concern"]}
    assert {row["words"] for row in said["signatures"]} == {failures.SIGNATURES[name] for name in concerns}


def test_the_last_hypervolume_is_that_of_the_search(experiment):
    (rows,) = progress([experiment])
    metrics = {trial.folder.name: trial.metrics for trial in experiment.trials}
    assert rows["hypervolume"][-1] == pytest.approx(best_so_far(metrics).hypervolume, abs=1e-6)
    assert rows["hypervolume"] == sorted(rows["hypervolume"])
    assert rows["best"][-1] == pytest.approx(max(trial.metrics["accuracy"] for trial in experiment.within()), abs=1e-6)


def test_a_trade_off_is_that_of_the_optimizer_with_the_reported_point_in_it(experiment):
    for trial in experiment.within():
        fitted = network.fit(trial)
        data = network.network(experiment, fitted, np.arange(5))
        front = fitted.optimizer.front_
        assert len(data["points"]["accuracy"]) == len(front) <= network.MOST_POINTS
        assert data["points"]["accuracy"] == pytest.approx(front.accuracy.tolist(), abs=1e-6)
        assert data["points"]["accuracy"][data["reported"]] == pytest.approx(trial.metrics["accuracy"], abs=1e-6)
        assert data["points"]["avg_macs"][data["reported"]] == pytest.approx(trial.metrics["avg_macs"], abs=0.1)
        first = [int(letters[0]) for letters in data["inputs_leave"]]
        assert first == [int(fitted.optimizer.policy_of(point).exits(fitted.logits[:1])[0]) for point in front]


def test_a_thinned_trade_off_keeps_the_reported_point(experiment, monkeypatch):
    monkeypatch.setattr(network, "MOST_POINTS", 2)
    for trial in experiment.within():
        fitted = network.fit(trial)
        assert len(fitted.points) <= 3
        assert fitted.points[fitted.reported].avg_cost == pytest.approx(trial.metrics["avg_macs"])


def test_parts_add_up_to_the_cost_of_each_exit(experiment):
    for trial in experiment.within():
        own = trial.network()
        parts = network.parts(experiment, network.fit(trial))
        spent = np.cumsum([part["backbone_macs"] + part["branch_macs"] for part in parts])
        assert spent.tolist() == [part["exit_macs"] for part in parts] == own.exit_costs
        assert [part["stages"][-1]["stage"] for part in parts] == list(own.exit_stages)
        assert (
            parts[0]["stages"][0]["layers"]
            == [trial.sample["stage0_block0"], trial.sample["stage0_block1"]][: trial.sample["stage0_depth"]]
        )


def test_reliability_of_probabilities_that_are_right_as_often_as_they_say(rng):
    confidence = rng.uniform(0.5, 1, 40_000)
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    own = network.reliability(probabilities, np.where(rng.uniform(size=40_000) < confidence, 0, 1))
    assert own["ece"] < 0.01
    assert sum(own["count"]) == 40_000
    assert own["accuracy"] == pytest.approx(own["confidence"], abs=0.02)
    assert network.reliability(probabilities, np.ones(40_000, dtype=int))["ece"] == pytest.approx(0.75, abs=0.01)


def test_the_choice_that_matters_is_the_important_one(rng):
    features = rng.integers(0, 3, (200, 6)).astype(float)
    score, means = permutation(features, features[:, 4] + 0.1 * rng.normal(size=200))
    assert score > 0.9
    assert means.argmax() == 4
    assert np.abs(np.delete(means, 4)).max() < 0.1
    assert permutation(features, rng.normal(size=200))[0] < 0.2


def test_static_networks_are_single_exits_without_the_branches_before(experiment):
    static = trials.static_front(experiment)
    assert static["avg_macs"] == sorted(static["avg_macs"])
    by_name = {trial.folder.name: trial for trial in experiment.within()}
    for name, cost, accuracy in zip(static["id"], static["avg_macs"], static["accuracy"], strict=True):
        optimizer = network.fit(by_name[name]).optimizer
        alone = zip(optimizer.single_exit_costs_, optimizer.single_exit_accuracies_, strict=True)
        assert any((cost, accuracy) == pytest.approx(pair) for pair in alone)


def test_what_cannot_be_read_is_said_and_left_out(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    front = network_front.best_of(network_front.finished(copy))
    (front[-1].folder / record.OUTPUTS).write_bytes(b"damaged")
    (copy / "environments/local-env/trials" / OVER / record.SUMMARY).write_text("{}")
    said = []
    write_report([copy], tmp_path / "report.html", said.append)
    (own,) = content(tmp_path / "report.html")["experiments"]
    assert [network["id"] for network in own["networks"]] == [trial.folder.name for trial in front[:-1]]
    assert own["unusable"][0].startswith(front[-1].folder.name)
    assert OVER in said[0]
    assert any(OVER in group["trials"] for group in own["failures"]["failed"])


def test_names_from_files_do_not_end_the_script(folder, tmp_path):
    copy = tmp_path / "<b>&{{script}}"
    shutil.copytree(folder, copy)
    (copy / "environments/local-env/trials/fail1/trial.stderr").write_text("</script><script>alert(1)</script>\n")
    write_report([copy], tmp_path / "report.html", lambda line: None)
    text = (tmp_path / "report.html").read_text()
    assert "alert(1)</script>" not in text
    assert "<title>&lt;b>&amp;{{script}} · " in text
    (own,) = content(tmp_path / "report.html")["experiments"]
    assert any(group["reason"].startswith("</script>") for group in own["failures"]["failed"])


def test_test_results_of_the_command_front_are_shown_beside(folder, tmp_path):
    name = network_front.best_of(network_front.finished(folder))[0].folder.name
    test = {"accuracy": 0.5, "avg_macs": 1e5, "interval": [0.4, 0.6]}
    judged = tmp_path / "front.json"
    judged.write_text(json.dumps({"front": [{"trial_folder": f"/elsewhere/{name}", "test": test}]}))
    write_report([folder], tmp_path / "report.html", lambda line: None, judged=judged)
    (own,) = content(tmp_path / "report.html")["experiments"]
    assert {network["id"]: network["test"] for network in own["networks"]}[name] == test
    judged.write_text("[]")
    with pytest.raises(ValueError, match="judged: .* is not possible; a front.json"):
        write_report([folder], tmp_path / "report.html", judged=judged)


def test_live_writes_anew_when_a_trial_has_ended_and_ends_with_the_search(folder, tmp_path):
    growing = tmp_path / "growing"
    places = growing / "environments" / "local-env" / "trials"
    names = list(CHANGES)[2:4]
    shutil.copytree(folder / "environments/local-env/trials/aaaaa", places / "aaaaa")
    write_database(growing, {"aaaaa": "SUCCEEDED"}, most=2)
    seen = []

    def sleep(seconds):
        seen.append(content(tmp_path / "report.html"))
        if len(seen) == 2:
            shutil.copytree(folder / "environments/local-env/trials" / names[0], places / names[0])
            shutil.rmtree(growing / "db")
            write_database(growing, {"aaaaa": "SUCCEEDED", names[0]: "SUCCEEDED"}, most=2)

    follow([growing], tmp_path / "report.html", lambda line: None, every_s=7, sleep=sleep)
    assert len(seen) == 2
    assert seen[0] == seen[1]  # nothing had ended, so it was not written again
    assert seen[0]["refresh_s"] == 7
    last = content(tmp_path / "report.html")
    assert last["refresh_s"] is None
    assert last["experiments"][0]["trials"]["id"] == ["aaaaa", names[0]]


def test_live_waits_for_the_first_trial_of_a_search_that_has_begun(folder, tmp_path):
    growing, waited = tmp_path / "growing", []
    write_database(growing, {}, most=1)

    def sleep(seconds):
        waited.append(seconds)
        if len(waited) == 2:
            place = growing / "environments" / "local-env" / "trials" / "aaaaa"
            shutil.copytree(folder / "environments/local-env/trials/aaaaa", place)
            shutil.rmtree(growing / "db")
            write_database(growing, {"aaaaa": "SUCCEEDED"}, most=1)

    follow([growing], tmp_path / "report.html", lambda line: None, every_s=7, sleep=sleep)
    assert waited == [7, 7]
    (own,) = content(tmp_path / "report.html")["experiments"]
    assert own["trials"]["id"] == ["aaaaa"]
    assert own["argument"] == str(growing)  # not known to NNI by its name


def test_the_command_says_in_one_sentence_what_cannot_be(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(
        ValueError, match="experiment: there are no trials in .*; the folder of an experiment is needed"
    ):
        command([str(empty)], tmp_path / "report.html")
    with pytest.raises(ValueError, match="output: .* is not possible; the name of an HTML file is"):
        command([str(empty)], empty)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_what_the_trials_were_made_with_is_said_once(experiment, folder):
    (made,) = reproduction.reproduction(experiment)["made_with"]
    assert made == json.loads((folder / "environments/local-env/trials/aaaaa/trial.json").read_text())["made_with"]


def test_the_commands_that_make_a_search_again_keep_what_is_in_its_files(experiment, tmp_path):
    """Whatever a shell would make of it, the line that ends a file included; the run itself is left out here."""
    odd = {"exit0_present": {"_type": "choice", "_value": ["$(touch hacked)", "it's", "END", "`id`"]}}
    config = {
        "experimentName": "a $HOME\nEND\n'name'",
        "trialCommand": "python -m nni_earlyexit.trial --epochs 3",
        "searchSpace": odd,
        "trialCodeDirectory": "/somewhere",
        "trialConcurrency": 1,
        "nniManagerIp": "127.0.0.1",
        "trainingService": {"platform": "local", "trialCommand": "the same", "trialGpuNumber": None},
    }
    trials = [replace(experiment.trials[0], made_with={"torch": "2\ntouch hacked", "commit": "a\rb\ntouch hacked"})]
    changed = replace(experiment, trials=trials, database=replace(experiment.database, config=config))
    script = reproduction.script(changed)
    commands = script.removesuffix("nni-earlyexit run experiment.yml")
    assert commands != script
    subprocess.run(["bash", "-c", commands], cwd=tmp_path, check=True)
    assert json.loads((tmp_path / "search_space.json").read_text()) == odd
    assert yaml.safe_load((tmp_path / "experiment.yml").read_text()) == {
        "experimentName": config["experimentName"],
        "trialCommand": config["trialCommand"],
        "trialConcurrency": 1,
        "nniManagerIp": "127.0.0.1",
        "trainingService": {"platform": "local"},
        "searchSpaceFile": "search_space.json",
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["experiment.yml", "search_space.json"]
    config["trainingService"] = {"platform": "kubeflow"}  # whose trials 'run' does not reach
    assert reproduction.script(changed).endswith("nnictl create --config experiment.yml")


def test_what_cannot_be_made_again_is_said_in_one_sentence(folder, tmp_path):
    with pytest.raises(ValueError, match="reproduce: 2 experiments are not possible; one is"):
        command([str(folder), str(folder)], reproduce=True)
    with pytest.raises(ValueError, match=r"reproduce: '.*' has no experiment file; a NasExperiment is made again by"):
        command([str(folder)], tmp_path / "report.html", reproduce=True)
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_the_report(folder, tmp_path, capsys):
    command([str(folder)], tmp_path / "new" / "report.html")
    assert content(tmp_path / "new" / "report.html")["experiments"][0]["name"] == folder.name
    assert "wrote" in capsys.readouterr().out


def test_a_trial_that_runs_is_no_failure(experiment):
    assert RUNNING not in json.dumps(failures.failures(experiment)["failed"])
