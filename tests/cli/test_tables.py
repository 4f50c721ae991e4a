"""Commands that print tables: for people, and for programs."""

from __future__ import annotations

import csv
import json
import sys

import pytest
from nni_earlyexit import search_spaces, strategies
from nni_earlyexit.cli import main


@pytest.fixture
def call(monkeypatch, capsys):
    """The standard output of a command."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["nni-earlyexit", *arguments])
        main.main()
        return capsys.readouterr().out

    return run


def test_spaces_lists_every_space_with_size_and_costs(call):
    printed = call("spaces")
    heads, _, digits, *_ = printed.splitlines()
    assert heads.split()[:3] == ["space", "input", "networks"]
    assert digits.split()[:5] == ["digits/2", "1x8x8", "3.5e+18", "34", "4"]
    assert "89.2k to 4.93M" in digits
    assert "\ntext/1 " in printed


def test_spaces_lists_arguments_with_default_and_meaning(call):
    lines = [line.split() for line in call("spaces", "mobilenetv3").splitlines()]
    assert ["width", "1.0", "Factor", "on", "the", "channels", "of", "all", "stages"] in lines


def test_spaces_for_programs(call):
    entries = json.loads(call("spaces", "--json"))
    assert [entry["name"] for entry in entries] == search_spaces.names()
    rows = list(csv.DictReader(call("spaces", "digits", "resnet", "--csv").splitlines()))
    assert [row["space"] for row in rows][:2] == ["digits/2", "resnet/1"]
    assert int(rows[0]["least_macs"]) == search_spaces.create("digits").cheapest(exit=-1)[1]


def test_strategies_lists_each_with_its_arguments(call):
    printed = call("strategies")
    assert all(f"\n{name} " in printed for name in strategies.names())
    assert "candidates" in printed


def test_strategies_for_programs(call):
    (entry,) = json.loads(call("strategies", "surrogate", "--json"))
    assert {k: entry["arguments"][3][k] for k in ("name", "default")} == {"name": "candidates", "default": "400"}
    rows = list(csv.DictReader(call("strategies", "--csv").splitlines()))
    assert [row["strategy"] for row in rows] == strategies.names()
