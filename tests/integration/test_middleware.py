from __future__ import annotations

from nni_earlyexit.integration.middleware import MultipleEvaluation
from nni_earlyexit.search.metrics import flat


def test_numbers_are_averaged_and_what_is_equal_or_no_number_stays():
    results = [
        {"accuracy": 0.5, "exit0_cutoff": None, "sample": {"depth": 3, "block": "mb"}, "feasible": 1},
        {"accuracy": 1.0, "exit0_cutoff": 0.7, "sample": {"depth": 3, "block": "mb"}, "feasible": 1},
    ]
    average = MultipleEvaluation(2)._average([flat(result) for result in results])
    assert average == {"accuracy": 0.75, "exit0_cutoff": None, "sample": {"depth": 3, "block": "mb"}, "feasible": 1}
    assert type(average["sample"]["depth"]) is int
