"""The record of a finished trial: whole, damaged, or not to be read by this version or at the moment."""

from __future__ import annotations

import copy
import errno
import json
import shutil
from pathlib import Path

import pytest
import torch
from nni_earlyexit.data import DataSettings, load_settings
from nni_earlyexit.evaluation import record
from nni_earlyexit.evaluation.evaluation import evaluate
from nni_earlyexit.evaluation.network_front import finished
from nni_earlyexit.training.settings import Settings
from nni_earlyexit.utils import files
from safetensors.torch import load_file


@pytest.fixture
def folder(experiment, tmp_path):
    """A copy of an experiment's folder and of a trial in it."""
    shutil.copytree(experiment, tmp_path / "e")
    return tmp_path / "e" / "environments" / "local-env" / "trials" / "a"


def rewritten(folder, **changes):
    """A trial as another version would have written it, checksum and all."""
    summary = {**json.loads((folder / record.SUMMARY).read_text()), **changes}
    checksums = summary.pop("checksums")
    checksums[record.SUMMARY] = record._checksum(summary)
    files.write_json(folder / record.SUMMARY, {**summary, "checksums": checksums})


@pytest.mark.parametrize("name", [record.SUMMARY, *record.FILES])
def test_what_is_damaged_is_told_from_what_is_whole(folder, name):
    assert not record.is_damaged(folder)
    (folder / name).write_bytes((folder / name).read_bytes()[:-2])
    assert record.is_damaged(folder)


@pytest.mark.parametrize("name", record.FILES)
def test_a_file_that_is_missing_is_damage_and_a_trial_that_never_finished_is_none(folder, name):
    (folder / name).unlink()
    assert record.is_damaged(folder)
    (folder / record.SUMMARY).unlink()
    assert not record.is_damaged(folder)


@pytest.mark.parametrize("changes", [{"format": 3}, {"settings": {"an option of tomorrow": 1}}])
def test_what_another_version_wrote_is_left_as_it_is(folder, changes, caplog):
    rewritten(folder, **changes)
    with pytest.raises(record.Unreadable):
        record.load(folder)
    assert not record.is_damaged(folder)
    assert "cannot be read, and is left as it is" in caplog.text


def test_a_disk_that_does_not_answer_ends_nothing(folder, monkeypatch, caplog):
    is_file = Path.is_file

    def fails(path):
        if path == folder / record.SUMMARY:
            raise OSError(errno.EIO, "Input/output error")
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", fails)
    said = []
    assert {trial.folder.name for trial in finished(folder.parents[3], said.append)} == {"b", "c", "d"}
    assert "Input/output error" in said[0]
    assert not record.is_damaged(folder)


def test_a_network_with_a_layer_that_stands_twice_is_kept(digits_space, two_exits, tmp_path):
    data = load_settings(DataSettings(most_inputs=100), 0)
    network = digits_space.freeze(two_exits)
    twin = copy.deepcopy(network)
    twin.again = twin.stem
    settings = Settings.from_options(most_inputs=100, epochs=1, threads=1)
    record.save(evaluate(twin, data, settings), tmp_path / "trial", settings)
    stored = load_file(tmp_path / "trial" / record.WEIGHTS)
    names = [name for name in stored if name.startswith("stem.")]
    assert names
    for name in names:
        assert torch.equal(stored[name], stored[name.replace("stem", "again", 1)])


def test_a_trial_can_be_read_when_the_latency_table_of_its_search_is_gone(folder):
    settings = json.loads((folder / record.SUMMARY).read_text())["settings"]
    rewritten(folder, settings={**settings, "latency_table": "/gone/latency.json", "max_latency_s": 1.0})
    assert record.load(folder).settings.limits.latency_table == "/gone/latency.json"
    with pytest.raises(FileNotFoundError, match="^latency_table: there is no file '/gone/latency.json'"):
        Settings.from_options(latency_table="/gone/latency.json")
