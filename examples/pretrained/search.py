"""Search the exits of a trained network that stays as it is.

python examples/pretrained/search.py lite0.safetensors folder:PATH
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import nni_earlyexit
from nni.nas.experiment import NasExperiment
from nni_earlyexit.data import DataSettings
from nni_earlyexit.evaluation.space_for_data import space_for_data
from nni_earlyexit.experiment.environment import environment
from nni_earlyexit.space.identity import of_words


def main() -> None:
    """Search as the command line says, and print the networks of the front."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, help="safetensors file with timm's names, as weights.py writes it")
    parser.add_argument("data", help="data set, such as folder:PATH")
    parser.add_argument("--model", default="tf_efficientnet_lite0", help="timm's name of the model")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--port", type=int, default=8081)
    arguments = parser.parse_args()
    os.environ.update(environment())  # NNI's web UI on this machine only

    # images are resized to what the model takes, and normalised as its weights want them
    space = space_for_data(
        of_words([f"timm:{arguments.model}", f"weights={arguments.weights.resolve()}", "frozen=true"]),
        DataSettings(arguments.data),
    )
    evaluator = nni_earlyexit.EarlyExitEvaluator(
        data=arguments.data, input_shape=space.input_shape, epochs=arguments.epochs
    )
    strategy = nni_earlyexit.strategies.create("surrogate", seed=0)

    experiment = NasExperiment(space, evaluator, nni_earlyexit.SearchStrategy(strategy))
    experiment.config.experiment_name = f"exits of {arguments.model}"
    experiment.config.max_trial_number = arguments.trials
    experiment.config.trial_concurrency = 1
    experiment.run(arguments.port)
    for sample in experiment.export_top_models(top_k=5, formatter="dict"):
        print(space.exit_costs(sample), space.describe(sample))
    experiment.stop()


if __name__ == "__main__":
    main()
