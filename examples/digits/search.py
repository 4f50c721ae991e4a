"""The search of experiment.yml in Python, with NNI's NasExperiment: python examples/digits/search.py"""

from __future__ import annotations

import os
import sys

import nni_earlyexit
from nni.nas.experiment import NasExperiment
from nni_earlyexit.experiment.environment import environment


def main(trials: int = 36, port: int = 8081) -> list[dict]:
    os.environ.update(environment())  # NNI's web UI on this machine only
    space = nni_earlyexit.search_spaces.create("digits")
    evaluator = nni_earlyexit.EarlyExitEvaluator(data="digits", epochs=12, max_avg_macs=600_000, threads=1)
    strategy = nni_earlyexit.strategies.create("surrogate", seed=0)

    experiment = NasExperiment(space, evaluator, nni_earlyexit.SearchStrategy(strategy))
    experiment.config.experiment_name = "early exits on digits"
    experiment.config.max_trial_number = trials
    experiment.config.trial_concurrency = 2
    experiment.run(port)

    front = experiment.export_top_models(top_k=5, formatter="dict")
    for sample in front:
        print(space.exit_costs(sample), space.describe(sample))
    experiment.stop()
    return front


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
