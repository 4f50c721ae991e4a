"""The same search from Python: NNI's NasExperiment around our space, evaluator and strategy, with swaps forced."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from nni_earlyexit import search_spaces
from nni_earlyexit.evaluation import network_front as front
from support import free_port, run_script

pytestmark = pytest.mark.nni

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits" / "search.py"
TRIALS = 4

# Loaded by every Python process of the experiment: of two trials that start together the first one asks last.
LATE_FIRST = """
import os, time
if os.environ.get("NNI_TRIAL_SEQ_ID"):
    time.sleep(5 * (1 - int(os.environ["NNI_TRIAL_SEQ_ID"]) % 2))
"""


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    (home / "sitecustomize.py").write_text(LATE_FIRST)
    code = EXAMPLE.read_text().replace("epochs=12", "epochs=1")
    # the import path of the trials is the folder that the search runs in
    done = run_script(code, home, TRIALS, free_port(), PYTHONPATH=str(home))
    return done, home


def test_the_example_ends_and_prints_the_front(search):
    done, _ = search
    assert done.returncode == 0, done.stdout + done.stderr
    assert any(line.startswith("[") and " | " in line for line in done.stdout.splitlines())


def test_it_shows_no_warning_of_nni_about_torch(search):
    done, _ = search
    assert "is found to be not a nn.Module" not in done.stdout + done.stderr


def test_every_metric_is_stored_with_the_parameters_of_its_trial(search):
    _, home = search
    with sqlite3.connect(next(home.glob("nni-experiments/*/db/nni.sqlite"))) as database:
        forms = database.execute(
            "select trialJobId, data from TrialJobEvent where data like '%parameter_id%'"
        ).fetchall()
        reported = database.execute("select trialJobId, parameterId from MetricData where type = 'FINAL'").fetchall()
    assert {job: int(parameter) for job, parameter in reported} == {
        job: json.loads(form)["parameter_id"] for job, form in forms
    }


def test_every_trial_left_the_network_that_its_metrics_belong_to(search):
    done, home = search
    experiment = home / "nni-experiments" / "_latest"
    records = front.finished(experiment)
    assert len(records) == TRIALS, done.stdout + done.stderr
    space = search_spaces.create("digits")
    for record in records:
        assert record.metrics["sample"] == record.sample
        assert record.metrics["full_macs"] == space.exit_costs(record.sample)[-1]
    assert len({str(record.sample) for record in records}) == TRIALS


def test_the_printed_front_are_networks_of_the_best_trials(search):
    done, home = search
    experiment = home / "nni-experiments" / "_latest"
    space = search_spaces.create("digits")
    expected = {
        f"{space.exit_costs(record.sample)} {space.describe(record.sample)}"
        for record in front.best_of(front.finished(experiment))
    }
    assert expected == {line for line in done.stdout.splitlines() if line.startswith("[") and " | " in line}
