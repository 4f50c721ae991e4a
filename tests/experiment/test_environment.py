from __future__ import annotations

import pytest
from nni_earlyexit.experiment.environment import environment


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "127.0.0.1,localhost"),
        ({"no_proxy": "example.org,localhost"}, "example.org,localhost,127.0.0.1"),
        ({"no_proxy": "*"}, "*"),
        ({"NO_PROXY": "example.org"}, "example.org,127.0.0.1,localhost"),
    ],
)
def test_this_machine_is_asked_without_a_proxy(monkeypatch, given, expected):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    variables = environment()
    assert variables["no_proxy"] == variables["NO_PROXY"] == expected


def test_nnis_manager_is_patched_once_and_the_users_options_stay(monkeypatch):
    monkeypatch.setenv("NODE_OPTIONS", "--trace-warnings")
    once = environment()["NODE_OPTIONS"]
    assert once.startswith("--trace-warnings --require ")
    assert all(once.count(patch) == 1 for patch in ("loopback.js", "tuner_wait.js", "few_axes.js"))
    monkeypatch.setenv("NODE_OPTIONS", once)
    assert environment()["NODE_OPTIONS"] == once


def test_an_experiment_file_is_remembered_by_all_that_is_started(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiment.yml").touch()
    variables = environment((tmp_path / "experiment.yml").relative_to(tmp_path), "a word")
    assert variables["NNI_EARLYEXIT_FILE"] == str(tmp_path / "experiment.yml")
    assert variables["NNI_EARLYEXIT_STARTER"] == "a word"
