"""Other people's strategies on the same search: each calls ``evaluate(sample)`` until that raises :class:`Enough`.

Those with one objective maximise the scalar metric ``default``; the others maximise accuracy and minimise average MACs.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Evaluate = Callable[[Mapping[str, Any]], Mapping[str, Any]]
Choices = Mapping[str, list[Any]]


class Enough(Exception):
    """The budget of trials is used up."""


def objectives(metrics: Mapping[str, Any]) -> tuple[float, float]:
    """Both to be minimised."""
    return -metrics["accuracy"], metrics["avg_macs"]


def _decoded(choices: Choices, positions: Any) -> dict[str, Any]:
    return {label: values[int(i)] for (label, values), i in zip(choices.items(), positions, strict=True)}


# --- NNI ---------------------------------------------------------------------------------------------------------------


def _nni_tuner(tuner: Any, evaluate: Evaluate, choices: Choices) -> None:
    tuner.update_search_space({label: {"_type": "choice", "_value": values} for label, values in choices.items()})
    number = 0
    while True:
        sample = tuner.generate_parameters(number)
        tuner.receive_trial_result(number, sample, evaluate(sample)["default"])
        tuner.trial_end(number, True)
        number += 1


def nni_random(evaluate: Evaluate, choices: Choices, seed: int) -> None:
    from nni.algorithms.hpo.random_tuner import RandomTuner

    _nni_tuner(RandomTuner(seed=seed), evaluate, choices)


def nni_tpe(evaluate: Evaluate, choices: Choices, seed: int) -> None:
    from nni.algorithms.hpo.tpe_tuner import TpeTuner

    _nni_tuner(TpeTuner(optimize_mode="maximize", seed=seed), evaluate, choices)


def nni_evolution(evaluate: Evaluate, choices: Choices, seed: int, population_size: int = 20) -> None:
    """RegularizedEvolution with an engine that looks results up; sample size a quarter of the population, as by default."""
    from nni.mutable import Categorical, MutableDict
    from nni.nas.execution import ExecutionEngine
    from nni.nas.execution.event import FinalMetricEvent, TrainingEndEvent
    from nni.nas.space import ModelStatus
    from nni.nas.space.metrics import Metrics
    from nni.nas.strategy import RegularizedEvolution

    class Model:
        """One network, or the space."""

        def __init__(self, sample: dict[str, Any] | None = None) -> None:
            self.sample, self.metrics, self.status = sample, Metrics(), ModelStatus.Initialized
            self._space = MutableDict({label: Categorical(values, label=label) for label, values in choices.items()})

        @property
        def metric(self) -> Any:
            return self.metrics.final

        def simplify(self) -> Any:
            return self._space.simplify()

        def random(self, memo: dict[str, Any], random_state: Any) -> Model:
            self._space.random(memo=memo, random_state=random_state)
            return Model(dict(memo))

        def freeze(self, sample: dict[str, Any]) -> Model:
            return Model(dict(sample))

    class Lookup(ExecutionEngine):
        def submit_models(self, *models: Any) -> None:
            for model in models:
                self.dispatch_model_event(FinalMetricEvent(model, evaluate(model.sample)["default"]))
                self.dispatch_model_event(TrainingEndEvent(model, ModelStatus.Trained))

        def idle_worker_available(self) -> bool:
            return True

        def budget_available(self) -> bool:
            return True

        def list_models(self, status: Any = None) -> list[Any]:
            return []

    logging.getLogger("nni.nas").setLevel(logging.ERROR)
    strategy = RegularizedEvolution(
        population_size=population_size, sample_size=population_size // 4, mutation_prob=0.1, seed=seed
    )
    strategy(Model(), Lookup())


# --- two objectives ----------------------------------------------------------------------------------------------------


def _optuna(sampler: Any, evaluate: Evaluate, choices: Choices) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(directions=["minimize"] * 2, sampler=sampler)
    while True:
        trial = study.ask()
        positions = [trial.suggest_categorical(label, range(len(values))) for label, values in choices.items()]
        study.tell(trial, objectives(evaluate(_decoded(choices, positions))))


def optuna_nsga2(evaluate: Evaluate, choices: Choices, seed: int) -> None:
    from optuna.samplers import NSGAIISampler

    _optuna(NSGAIISampler(population_size=20, seed=seed), evaluate, choices)


def optuna_tpe(evaluate: Evaluate, choices: Choices, seed: int) -> None:
    from optuna.samplers import TPESampler

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _optuna(TPESampler(multivariate=True, seed=seed), evaluate, choices)


def pymoo_nsga2(evaluate: Evaluate, choices: Choices, seed: int) -> None:
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.mixed import MixedVariableDuplicateElimination, MixedVariableMating, MixedVariableSampling
    from pymoo.core.problem import ElementwiseProblem
    from pymoo.core.variable import Choice
    from pymoo.optimize import minimize

    class Search(ElementwiseProblem):
        def __init__(self) -> None:
            super().__init__(
                vars={label: Choice(options=range(len(values))) for label, values in choices.items()}, n_obj=2
            )

        def _evaluate(self, x: Any, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
            out["F"] = objectives(evaluate(_decoded(choices, x.values())))

    unequal = MixedVariableDuplicateElimination()
    algorithm = NSGA2(
        pop_size=20,
        sampling=MixedVariableSampling(),
        mating=MixedVariableMating(eliminate_duplicates=unequal),
        eliminate_duplicates=unequal,
    )
    minimize(Search(), algorithm, ("n_eval", 10**9), seed=seed)


def smac_parego(evaluate: Evaluate, choices: Choices, seed: int) -> None:
    """SMAC with random forests and ParEGO's scalarisation."""
    import tempfile
    from pathlib import Path

    from ConfigSpace import CategoricalHyperparameter, ConfigurationSpace
    from smac import HyperparameterOptimizationFacade, Scenario
    from smac.multi_objective.parego import ParEGO
    from smac.runhistory.dataclasses import TrialValue

    logging.getLogger("smac").setLevel(logging.ERROR)
    space = ConfigurationSpace(seed=seed)
    space.add([CategoricalHyperparameter(label, list(range(len(values)))) for label, values in choices.items()])
    with tempfile.TemporaryDirectory() as folder:
        scenario = Scenario(
            space,
            objectives=["error", "macs"],
            n_trials=10**6,
            seed=seed,
            deterministic=True,
            output_directory=Path(folder),
        )
        smac = HyperparameterOptimizationFacade(
            scenario,
            lambda config, seed: None,
            multi_objective_algorithm=ParEGO(scenario),
            initial_design=HyperparameterOptimizationFacade.get_initial_design(scenario, n_configs=12),
            logging_level=False,
            overwrite=True,
        )
        while True:
            info = smac.ask()
            found = objectives(evaluate(_decoded(choices, [info.config[label] for label in choices])))
            smac.tell(info, TrialValue(cost=[float(loss) for loss in found]))


def botorch_qnehvi(evaluate: Evaluate, choices: Choices, seed: int, initial: int = 12, candidates: int = 400) -> None:
    """Noisy expected hypervolume improvement (Daulton et al., arXiv 2105.08195), Gaussian processes on one-hot features.

    The next network is the best of so many candidates: half at random, half one or two changes away from the front.
    """
    import torch
    from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import ModelListGP, SingleTaskGP
    from botorch.models.transforms import Standardize
    from botorch.sampling import SobolQMCNormalSampler
    from gpytorch.mlls import SumMarginalLogLikelihood
    from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    sizes = [len(values) for values in choices.values()]

    def coded(positions: np.ndarray) -> torch.Tensor:
        columns = [np.eye(size)[positions[:, i]][:, size == 2 :] for i, size in enumerate(sizes)]
        return torch.tensor(np.hstack(columns), dtype=torch.float64)

    asked: dict[tuple[int, ...], tuple[float, float]] = {}

    def ask(positions: np.ndarray) -> None:
        accuracy_lost, macs = objectives(evaluate(_decoded(choices, positions)))
        asked[tuple(positions.tolist())] = (-accuracy_lost, -np.log2(macs))

    while len(asked) < initial:
        ask(rng.integers(sizes))
    while True:
        known = np.array(list(asked))
        x, y = coded(known), torch.tensor(list(asked.values()), dtype=torch.float64)
        models = ModelListGP(*(SingleTaskGP(x, y[:, [i]], outcome_transform=Standardize(1)) for i in range(2)))
        fit_gpytorch_mll(
            SumMarginalLogLikelihood(models.likelihood, models), optimizer_kwargs={"options": {"maxiter": 50}}
        )
        best = known[NonDominatedSorting().do(-y.numpy(), only_non_dominated_front=True)]
        near = best[rng.integers(len(best), size=candidates // 2)].copy()
        for row in near:
            for i in rng.choice(len(sizes), rng.integers(1, 3), replace=False):
                row[i] = rng.integers(sizes[i])
        pool = np.vstack([near, rng.integers(sizes, size=(candidates // 2, len(sizes)))])
        pool = np.array([row for row in np.unique(pool, axis=0) if tuple(row.tolist()) not in asked])
        low, high = y.min(dim=0).values, y.max(dim=0).values
        acquisition = qLogNoisyExpectedHypervolumeImprovement(
            models,
            low - 0.1 * (high - low),
            x,
            sampler=SobolQMCNormalSampler(torch.Size([32]), seed=0),
            prune_baseline=True,
        )
        with torch.no_grad():
            worth = torch.cat([acquisition(part[:, None]) for part in coded(pool).split(100)])
        ask(pool[int(worth.argmax())])


PEERS: dict[str, Callable[[Evaluate, Choices, int], None]] = {
    "NNI Random": nni_random,
    "NNI RegularizedEvolution": nni_evolution,
    "NNI TPE": nni_tpe,
    "Optuna NSGA-II": optuna_nsga2,
    "Optuna TPE": optuna_tpe,
    "pymoo NSGA-II": pymoo_nsga2,
    "SMAC ParEGO": smac_parego,
    "BoTorch qNEHVI": botorch_qnehvi,
}
