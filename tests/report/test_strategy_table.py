from __future__ import annotations

import pytest
from nni_earlyexit import strategies
from nni_earlyexit.report import strategy_table


def test_every_strategy_has_a_line_and_arguments_that_it_takes():
    entries = strategy_table.entries()
    assert [entry.name for entry in entries] == strategies.names()
    for entry in entries:
        assert entry.summary
        assert all(argument.meaning for argument in entry.arguments)
        assert {"initial", "whole_fronts"} <= {argument.name for argument in entry.arguments}
        assert not {"objectives", "seed"} & {argument.name for argument in entry.arguments}


def test_defaults_and_meanings_are_those_of_the_strategy():
    (surrogate,) = strategy_table.entries(["surrogate"])
    arguments = {argument.name: argument for argument in surrogate.arguments}
    assert arguments["candidates"].default == str(strategies.create("surrogate").candidates)
    assert arguments["candidates"].meaning == "Networks among which the next one is chosen, at most"
    assert str(arguments["initial_random"]) == "initial_random=12"


def test_an_unknown_strategy_has_the_nearest_name():
    with pytest.raises(ValueError, match="strategy: 'nsga' is unknown; did you mean 'nsga3' or 'nsga2'?"):
        strategy_table.entries(["nsga"])
