"""A trained network of digits, and the space of exits for it."""

from __future__ import annotations

import pytest
from nni_earlyexit import data, search_spaces
from nni_earlyexit.bank import Bank
from nni_earlyexit.training.recipe import Recipe


@pytest.fixture(scope="session")
def trained_space(trained_digits):
    return search_spaces.create("trained", folder=str(trained_digits))


@pytest.fixture(scope="session")
def digits():
    return data.load("digits")


@pytest.fixture
def open_bank(tmp_path, trained_space, digits):
    def opened(folder="bank", space=trained_space, task=digits, said=None, **recipe):
        say = (lambda line: None) if said is None else said.append
        return Bank(tmp_path / folder, space, task, Recipe(**{"epochs": 2, "threads": 1, **recipe}), say=say)

    return opened
