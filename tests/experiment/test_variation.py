from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from nni_earlyexit.data.settings import DataSettings
from nni_earlyexit.experiment.config import check, read
from nni_earlyexit.experiment.variation import varied
from nni_earlyexit.integration import trial_arguments

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits" / "experiment.yml"


def test_the_new_file_means_the_same_but_for_what_was_changed(tmp_path):
    path = varied(EXAMPLE, tmp_path, options=["--epochs", "2"])
    before, after = check(EXAMPLE), check(path)
    assert (after.max_trials, after.settings.training.epochs) == (before.max_trials, 2)
    assert after.settings.limits == before.settings.limits
    assert (after.space, after.max_seconds) == (before.space, before.max_seconds)


def test_a_quick_one_can_be_run(tmp_path):
    experiment = check(varied(EXAMPLE, tmp_path, quick=True))
    assert (experiment.max_trials, experiment.max_seconds) == (4, 120)
    assert (experiment.settings.data.most_inputs, experiment.settings.training.epochs) == (1000, 2)


def test_a_quick_one_of_a_halving_judges_as_short_trials(tmp_path):
    content = yaml.safe_load(EXAMPLE.read_text())
    content["searchSpaceFile"] = str(EXAMPLE.with_name("search_space.json"))
    content["assessor"] = {"name": "EarlyExitHalving", "classArgs": {"epochs": 12, "first_rung": 3}}
    (tmp_path / "halving.yml").write_text(yaml.safe_dump(content))
    check(tmp_path / "halving.yml")
    assert check(varied(tmp_path / "halving.yml", tmp_path / "results", quick=True)).settings.training.epochs == 2


@pytest.mark.parametrize("option", ["--bank", "--weights"])
def test_a_quick_one_judges_what_was_trained_before_by_the_same_splits(option, tmp_path):
    path = varied(EXAMPLE, tmp_path, options=["--data", "digits", option, "/trained/before"], quick=True)
    settings = trial_arguments.parse(trial_arguments.of_command(read(path)["trialCommand"])).settings
    assert settings.data == DataSettings()
    assert (settings.training.epochs, settings.training.batch_size) == ((12, None) if option == "--bank" else (2, 32))


def test_a_quick_one_of_a_trained_backbone_keeps_its_splits(tmp_path):
    content = yaml.safe_load(EXAMPLE.read_text())
    del content["searchSpaceFile"]
    content["searchSpace"] = {"space": {"_type": "choice", "_value": ["trained/1 folder=/network"]}}
    (tmp_path / "trained.yml").write_text(yaml.safe_dump(content))
    command = read(varied(tmp_path / "trained.yml", tmp_path / "results", quick=True))["trialCommand"]
    assert trial_arguments.parse(trial_arguments.of_command(command)).settings.data == DataSettings()


def test_fields_are_found_however_nni_lets_them_be_written(tmp_path):
    written = (
        EXAMPLE.read_text().replace("trialCommand:", "trial_command:").replace("maxTrialNumber:", "MaxTrialNumber:")
    )
    written = written.replace("searchSpaceFile: ", f"search_space_file: {EXAMPLE.parent}/")
    (tmp_path / "e.yml").write_text(written)
    experiment = check(varied(tmp_path / "e.yml", tmp_path / "results", options=["--epochs", "3"], quick=True))
    assert (experiment.max_trials, experiment.settings.training.epochs) == (4, 3)


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
