"""Surrogate-assisted search: models learned from the trials so far say which candidate would improve the front most.

Candidates are the front's networks with a change or two. The one with the largest expected hypervolume improvement is tried
next, where trials that still run are taken for what the model expects of them. Costs are computed; only what training
decides is predicted (:mod:`nni_earlyexit.search.surrogate.targets`). When nothing is expected any more, the cheapest and the
dearest networks are tried, then those of which the models know least. After hundreds of trials one more changes the models
little, so that they and their candidates serve several proposals, and a long search stays as fast as a short one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
from nni_earlyexit.search.ask_tell import AskTell
from nni_earlyexit.search.domain import Domain, Sample, key
from nni_earlyexit.search.genetics import Genetics
from nni_earlyexit.search.hypervolume import Array
from nni_earlyexit.search.surrogate.models import FAMILIES, Hyperparameters, Models, rank_correlation
from nni_earlyexit.search.surrogate.pool import Pool
from nni_earlyexit.search.surrogate.targets import ends, targets
from nni_earlyexit.search.trials import Trial
from nni_earlyexit.utils.checks import lookup, whole_number
from pymoo.core.population import Population
from scipy.stats import norm
from threadpoolctl import threadpool_limits

CROSS_VALIDATED = "cross_validated"
MAX_FITTED = 400
"""Trials that a model is fitted to, at most: those of the front, and the latest."""
FEWEST_WHOLE = 8
"""Trials that were trained longest from which models learn those alone, not also what others gave that were stopped."""
LATEST = 100
"""Trials among which the longest training is looked for, lest longer ones of an earlier search count alone for ever."""
RESELECT = 1.5
"""Growth of the number of trials at which the family of models and its settings are found again."""
RANDOM_SHARE = 0.05
"""Share of the candidates that are drawn at random."""
TRIALS_PER_PROPOSAL = 200
"""So many trials are known for each proposal that the same models and candidates serve: one until there are twice as many."""
SHARE_PROPOSED = 0.25
"""Share of the candidates that is proposed at most before others are drawn."""
ROUNDS = 4
"""Times that networks of the front are changed to have enough candidates."""
DRAWS = 32
"""Possible results of a candidate that its expected improvement is the mean of."""
NEGLIGIBLE = 1e-5
"""Expected improvement, as a share of the front's box, below which it seems that the models are wrong or all is found."""
DOUBT = 4
"""Factor by which models are then taken to be more wrong than they say, so that what they know least of is tried."""
IN_COMMON = 0.64
"""Share of what is uncertain about a network's exits that they have in common, being trained together."""


class Strategy(AskTell):
    """Random networks first, then those that promise most.

    Parameters
    ----------
    initial_random
        Networks drawn at random before models are asked.
    candidates
        Networks among which the next one is chosen, at most.
    family
        Name of a family of models (:mod:`nni_earlyexit.search.surrogate.models`), or ``"cross_validated"``: the one whose
        cross-validated predictions rank best, as in NSGANetV2 (Lu et al., arXiv 2007.10396).
    """

    def __init__(
        self,
        objectives: Mapping[str, str] | None = None,
        seed: int = 0,
        initial: Sequence[Mapping[str, Any]] = (),
        whole_fronts: bool = True,
        initial_random: int = 12,
        candidates: int = 400,
        family: str = "gaussian_process",
    ) -> None:
        super().__init__(objectives, seed, initial, whole_fronts)
        whole_number(5)("initial_random", initial_random)
        whole_number(10)("candidates", candidates)
        lookup({**FAMILIES, CROSS_VALIDATED: None}, family, "family")
        self.initial_random, self.candidates, self.family = initial_random, candidates, family

    def start(self, domain: Domain) -> None:
        """Begin to explore ``domain``; models and all that is known are forgotten."""
        super().start(domain)
        self._genetics = Genetics(domain)
        self._targets = targets(self.objectives, domain, self.whole_fronts)
        self._models: Models | None = None
        self._learned = False  # whether models know all trials
        self._pool: Pool | None = None
        # of the pool: what it follows and how many proposals more it serves, candidates by name, predictions, front at first
        self._drawn: dict[str, Any] = {}
        self._samples: dict[str, Sample] = {}
        self._predicted: tuple[Array, Array] = (np.empty(0), np.empty(0))
        self._front: Array = self.archive.points
        self._expected: dict[str, Array] = {}  # points of the candidates and of what runs, as the models see them
        self._chosen, self._chosen_at = "", 0
        self._settings: list[Hyperparameters | None] | None = None
        self._none_left = (-1, -1)  # trials and pending samples when no candidate was new
        self._ends: list[Sample] | None = None

    def _remember(self, trial: Trial) -> None:
        """Forget the candidates as well if a network is told again: what they follow cannot be stored any more."""
        if key(trial.sample) in self.trials:
            self._pool = None
        super()._remember(trial)

    def told(self, trial: Trial) -> None:
        """Note that models must be fitted again."""
        self._learned = False

    def propose(self) -> Sample:
        """Propose the candidate that is expected to improve the front most."""
        if self._pool is None or not self._drawn["proposals"]:
            self._draw()
        best = None if self._pool is None else self._pool.best(self._known_points(), self._is_new)
        if self._pool is None or best is None:
            self._pool = None
            return self.random_sample()
        self._drawn["proposals"] -= 1
        if best[1] >= NEGLIGIBLE or self._drawn["doubt"] > 1:
            return best[0]
        if self._ends is None:
            self._ends = ends(self.objectives, self.domain)
        for sample in self._ends:
            if self.possible(sample) is not None:
                self._pool = None
                return sample
        self._judge(DOUBT)
        best = self._pool.best(self._known_points(), self._is_new)
        assert best is not None
        return best[0]

    def _draw(self) -> None:
        """Fit the models, and draw candidates for the next proposals, if there can be any."""
        self._pool = None
        feasible = self._feasible()
        if len(self.trials) + len(self.pending) < self.initial_random or len(feasible) < 5:
            return
        tried = len(self.trials), len(self.pending)
        drawn = {
            "trials": len(self.trials),
            "pending": list(self.pending.values()),
            "rng": self.rng.bit_generator.state,
        }
        candidates = [] if tried == self._none_left else self._candidates()
        if not candidates:
            self._none_left = tried
            return
        # threads would only wait for each other, matrices being small, and for the trials that run beside this
        with threadpool_limits(1):
            if self._models is None or not self._learned:
                self._models, self._learned = self._fitted(feasible), True
            self._predicted = self._models.predict(self._targets.features(candidates))
            self._samples = {key(sample): sample for sample in candidates}
            self._expected = dict(zip(self._samples, self._targets.points(candidates, self._predicted[0]), strict=True))
            self._expect(self.pending)
        self._front = self.archive.points
        most = max(1, int(SHARE_PROPOSED * len(candidates)))
        self._drawn = {**drawn, "proposals": min(max(1, len(self.trials) // TRIALS_PER_PROPOSAL), most)}
        self._judge()

    def _judge(self, doubt: float = 1) -> None:
        """Draw results of the candidates that the models hold possible, with so many times their deviation."""
        mean, deviation = self._predicted
        possible = mean + self._luck(len(mean))[:, :, None] * (doubt * deviation)
        points = self._targets.points(list(self._samples.values()), possible)
        # the front as it was at first is the box to measure in, for what was stored says no more than that
        self._pool = Pool(self._samples, points, self._front)
        self._drawn["doubt"] = doubt

    def _feasible(self) -> list[Trial]:
        return [trial for trial in self.trials.values() if trial.within]

    def _expect(self, samples: Mapping[str, Sample]) -> None:
        """Predict the points of what runs."""
        assert self._models is not None
        if samples:
            running = list(samples.values())
            points = self._targets.points(running, self._models.predict(self._targets.features(running))[0])
            self._expected |= dict(zip(samples, points, strict=True))

    def _known_points(self) -> Array:
        """The front, and what the models expect of the networks that run (points, losses)."""
        self._expect({name: sample for name, sample in self.pending.items() if name not in self._expected})
        return np.concatenate([self.archive.points, *(self._expected[name] for name in self.pending)])

    def _is_new(self, name: str) -> bool:
        return name not in self.trials and name not in self.pending

    def _luck(self, targets: int) -> Array:
        """Standard normal draws (draws, targets) with a part in common, every part a Latin hypercube's."""
        levels = norm.ppf((np.arange(DRAWS) + 0.5) / DRAWS)
        drawn = np.stack([self.rng.permutation(levels) for _ in range(1 + targets)], axis=1)
        return np.sqrt(IN_COMMON) * drawn[:, :1] + np.sqrt(1 - IN_COMMON) * drawn[:, 1:]

    def _fitted(self, trials: list[Trial]) -> Models:
        trials = trained_longest(trials)
        if len(trials) > MAX_FITTED:
            best = set(map(id, self.front()))
            trials = [trial for trial in trials[:-MAX_FITTED] if id(trial) in best] + trials[-MAX_FITTED:]
        x, y = self._targets.features([trial.sample for trial in trials]), self._targets.learn(trials)
        if len(self.trials) >= RESELECT * self._chosen_at:
            self._chosen = self.family if self.family != CROSS_VALIDATED else self._best_family(x, y)
            self._chosen_at, self._settings = len(self.trials), None
        models = Models(self._chosen, x, y, self._settings)
        self._settings = models.settings
        return models

    def _best_family(self, x: Array, y: Array) -> str:
        return max(FAMILIES, key=lambda name: rank_correlation(name, x, y, self.seed))

    def _candidates(self) -> list[Sample]:
        """New networks that may meet the limits: the front's with a change or two, and some at random."""
        parents = [self._genetics.encode(trial.sample) for trial in self.front()]
        population = Population.new(X=np.array(parents, dtype=object))
        samples: dict[str, Sample] = {}
        drawn = [self.random_sample() for _ in range(math.ceil(RANDOM_SHARE * self.candidates))]
        for _ in range(ROUNDS):
            drawn += self._genetics.mutants(population, self.rng.integers(len(parents), size=self.candidates), self.rng)
            for sample in map(self.possible, drawn):
                if sample is not None:
                    samples[key(sample)] = sample
            if len(samples) >= self.candidates:
                break
            drawn = []
        return list(samples.values())[: self.candidates]

    def own_state(self) -> dict[str, Any]:
        """Family and settings of the models, and of what the candidates follow while they serve, as plain JSON."""
        drawn = dict(self._drawn) if self._pool is not None and self._drawn["proposals"] else None
        return {"family": self._chosen, "chosen_at": self._chosen_at, "settings": self._settings, "drawn": drawn}

    def load_own_state(self, state: Mapping[str, Any]) -> None:
        """Take back family and settings of the models, and draw the candidates again that served."""
        own = state["family"], state["chosen_at"], state["settings"]
        self._chosen, self._chosen_at, self._settings = own
        if (drawn := state.get("drawn")) is None:
            # settings that no model can be made with would end the search at its next proposal
            if self._settings is not None and (feasible := self._feasible()):
                self._fitted(feasible)
                self._chosen, self._chosen_at, self._settings = own
        else:
            whole_number(0)("state: drawn: proposals", drawn["proposals"])
            now = self.trials, self.pending, self.archive
            self.trials = dict(islice(self.trials.items(), drawn["trials"]))
            self.pending = {key(sample): sample for sample in drawn["pending"]}
            self.rng.bit_generator.state = drawn["rng"]
            self._fill_archive()
            self._draw()
            if self._pool is not None and drawn["doubt"] > 1:
                self._judge(drawn["doubt"])
            self.trials, self.pending, self.archive = now
            self._learned = False
            self._drawn["proposals"] = drawn["proposals"]


def trained_longest(trials: list[Trial]) -> list[Trial]:
    """The trials with as many epochs as the longest of the latest ones, and shorter ones only where there are too few."""
    if len(trials) <= FEWEST_WHOLE:
        return trials
    epochs = [trial.epochs for trial in trials]
    least = min(sorted(epochs, reverse=True)[FEWEST_WHOLE - 1], max(epochs[-LATEST:]))
    return [trial for trial in trials if trial.epochs >= least]
