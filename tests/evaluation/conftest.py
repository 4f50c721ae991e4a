from __future__ import annotations

import pytest
import torch
from nni_earlyexit import EarlyExitEvaluator
from nni_earlyexit.evaluation import record


@pytest.fixture(scope="session")
def experiment(tmp_path_factory, digits_space, two_exits):
    """The folder of an experiment with three really trained networks and one over the limit."""
    folder = tmp_path_factory.mktemp("experiment")
    trials = folder / "environments" / "local-env" / "trials"
    for name, change, epochs in (("a", {}, 1), ("b", {"stage1_depth": 2}, 3), ("c", {"exit1_present": "yes"}, 2)):
        evaluator = EarlyExitEvaluator(epochs=epochs, threads=1, seed=1)
        torch.manual_seed(0)
        evaluation = evaluator.evaluate(digits_space.freeze({**two_exits, **change}))
        record.save(evaluation, trials / name, evaluator.settings)
    evaluator = EarlyExitEvaluator(max_full_macs=90_000)
    record.save(evaluator.evaluate(digits_space.freeze(two_exits)), trials / "d", evaluator.settings)
    (trials / "running").mkdir()
    return folder
