from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from nni_earlyexit.experiment.config import check
from nni_earlyexit.experiment.variation import QUICK_FIELDS, QUICK_OPTIONS, varied

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits" / "experiment.yml"


def test_the_new_file_means_the_same_but_for_what_was_changed(tmp_path):
    path = varied(EXAMPLE, tmp_path, options=["--epochs", "2"], fields={"maxTrialNumber": 3})
    before, after = check(EXAMPLE), check(path)
    assert (after.max_trials, after.settings.training.epochs) == (3, 2)
    assert after.settings.limits == before.settings.limits
    assert (after.space, after.max_seconds) == (before.space, before.max_seconds)


def test_a_quick_one_can_be_run(tmp_path):
    experiment = check(varied(EXAMPLE, tmp_path, options=QUICK_OPTIONS, fields=QUICK_FIELDS))
    assert experiment.max_seconds == 120
    assert experiment.settings.data.most_inputs == 1000


def test_the_file_itself_is_never_written_over(tmp_path):
    file = tmp_path / "varied-experiment.yml"
    file.write_bytes(EXAMPLE.read_bytes())
    with pytest.raises(ValueError, match="results: .* would be written over"):
        varied(file, tmp_path, options=["--epochs", "1"])
    assert file.read_bytes() == EXAMPLE.read_bytes()


def test_words_of_options_stay_words(tmp_path):
    path = varied(EXAMPLE, tmp_path, options=["--data", "folder:/a b; rm -r $HOME"])
    command = yaml.safe_load(path.read_text())["trialCommand"]
    assert command.endswith("--data 'folder:/a b; rm -r $HOME'")


def test_files_without_a_command_are_refused(tmp_path):
    file = tmp_path / "e.yml"
    file.write_text("searchSpace: {}\n")
    with pytest.raises(ValueError, match="has no trialCommand"):
        varied(file, tmp_path / "out", options=["--epochs", "1"])
    assert not (tmp_path / "out").exists()
    file.write_text("a: [")
    with pytest.raises(ValueError, match="is not YAML"):
        varied(file, tmp_path / "out")
