"""``init`` with flags, and asking in a terminal."""

from __future__ import annotations

import sys

import pytest
import typer
import yaml
from nni_earlyexit.cli import init, main


@pytest.fixture
def call(monkeypatch, capsys):
    """The standard output of ``init``."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["nni-earlyexit", "init", *map(str, arguments)])
        main.main()
        return capsys.readouterr().out

    return run


def test_flags_are_enough(call, tmp_path):
    said = call(
        "--data", "digits", "--space", "digits max_exits=1", "--max-avg-macs", "600k", "--time", "5m", "--out", tmp_path
    )
    fields = yaml.safe_load((tmp_path / "experiment.yml").read_text())
    assert fields["maxExperimentDuration"] == "5m"
    assert "maxTrialNumber" not in fields
    assert fields["trialCommand"].endswith("--data digits --epochs 12 --max-avg-macs 600k")
    assert f"nni-earlyexit run {tmp_path / 'experiment.yml'} --quick" in said


def test_without_a_terminal_data_must_be_given(call, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        call("--out", tmp_path)
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("nni-earlyexit: data: it is missing; give --data, such as digits")
    assert list(tmp_path.iterdir()) == []


def test_a_question_is_asked_again_until_the_answer_can_be(monkeypatch, capsys):
    answers = iter(["nowhere", "3"])
    monkeypatch.setattr(typer, "prompt", lambda question, **options: next(answers))
    assert init._Questions(True)("trials", "100", init._count) == 3
    assert "trials: 'nowhere' is not possible; a whole number from 1 is" in capsys.readouterr().out


def test_in_a_terminal_it_asks_for_what_is_not_given(call, monkeypatch, tmp_path):
    asked, limits = {}, iter(["1G", "700k"])

    def prompt(question, default, **options):
        asked[question.split()[0]] = default
        return next(limits) if question.startswith("limit") else default

    monkeypatch.setattr(typer, "prompt", prompt)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    said = call("--data", "digits", "--out", tmp_path)
    assert asked == {"search": "digits", "limit": "", "networks": "100"}
    assert "max_avg_macs: 1G is above the dearest network of space digits/2" in said
    assert "--max-avg-macs 700k" in (tmp_path / "experiment.yml").read_text()
