"""Search networks with NNI: python search.py [TRIALS [EPOCHS [PORT]]]"""

import sys

from nni.nas.evaluator import FunctionalEvaluator
from nni.nas.experiment import NasExperiment
from nni.nas.strategy import Random
from project.space import Space
from project.training import evaluate


def main(trials=16, epochs=8, port=8081):
    evaluator = FunctionalEvaluator(evaluate, epochs=epochs)
    strategy = Random(dedup=True)
    experiment = NasExperiment(Space(), evaluator, strategy)
    experiment.config.experiment_name = "digits"
    experiment.config.max_trial_number = trials
    experiment.config.trial_concurrency = 2
    experiment.run(port)
    for sample in experiment.export_top_models(top_k=3, formatter="dict"):
        print(sample)
    experiment.stop()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
