"""Damaged and absurd files and arguments, in short; the long form is ``python tests/faults/fuzz.py``."""

from __future__ import annotations

import logging

import fuzz
import pytest

CASES = 40


@pytest.fixture(autouse=True)
def quiet():
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("target", fuzz.TARGETS)
def test_each_case_gives_a_result_or_one_sentence(target):
    outcomes, tracebacks = fuzz.cases(target, iter(range(CASES)))
    assert not tracebacks, tracebacks[0]
    assert outcomes["results"] > 0  # not everything is damaged beyond use
    assert outcomes["sentences"] > CASES / 4


def test_bundles_that_once_gave_a_traceback_give_a_sentence():
    seeds = (883, 2176, 4397, 4973, 9217, 9294)
    outcomes, tracebacks = fuzz.cases("bundle", iter(seeds))
    assert not tracebacks, tracebacks[0]
    assert outcomes["sentences"] == len(seeds)


def test_a_traceback_would_be_seen(monkeypatch):
    def broken(rng, folder):
        raise TypeError("no sentence")

    monkeypatch.setitem(fuzz.TARGETS, "data", broken)
    _, tracebacks = fuzz.cases("data", iter(range(3)))
    assert len(tracebacks) == 3
    assert "no sentence" in tracebacks[0]


def test_trials_that_once_gave_a_traceback_give_a_sentence():
    seeds = (67, 102)  # seconds of exits that are no numbers
    outcomes, tracebacks = fuzz.cases("trial", iter(seeds))
    assert not tracebacks, tracebacks[0]
    assert outcomes["sentences"] == len(seeds)


def test_an_error_of_python_is_no_sentence(monkeypatch):
    def unnamed(rng, folder):
        (_,) = (1, 2)

    monkeypatch.setitem(fuzz.TARGETS, "data", unnamed)
    _, tracebacks = fuzz.cases("data", iter(range(1)))
    assert "no sentence that begins with a name: ValueError('too many values" in tracebacks[0]
