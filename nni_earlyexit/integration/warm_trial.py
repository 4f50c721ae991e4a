"""Preparation of a server of trials: all that they have in common, read once."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from nni_earlyexit import search_spaces
from nni_earlyexit.integration import nni_private, trial_arguments
from nni_earlyexit.integration.evaluator import EarlyExitEvaluator
from nni_earlyexit.integration.trial_work import Ready, run
from nni_earlyexit.supernet.supernet import Supernet
from nni_earlyexit.utils.errors import exits_with_one_sentence
from nni_earlyexit.utils.progress import say


def prepare(arguments: Sequence[str]) -> Callable[[], None]:
    """Read what trials with these command line ``arguments`` have in common; what a trial does is returned."""
    given = trial_arguments.parse(arguments)
    ready = None
    if given.settings.training.weights is not None:
        for name in given.allow_spaces:
            search_spaces.allow(name)
        settings = given.settings.with_whole_paths()
        space = search_spaces.restore(Supernet.space_of(Path(str(settings.training.weights))))
        settings = settings.for_network(space.input_shape)
        # one thread, for a fork has only one and would wait for the others; no training, which is each trial's own
        alone = replace(settings, training=replace(settings.training, threads=1, finetune=False))
        evaluator = EarlyExitEvaluator(alone)
        # a network evaluated brings in all that is imported or read late
        evaluator.evaluate(space.freeze(space.extreme(space.exit_costs, exit=-1)[0]))
        evaluator.settings = settings
        ready = Ready(space, evaluator)
        if settings.training.tensorboard:
            importlib.import_module("torch.utils.tensorboard")
        say(f"ready for trials with {settings.training.weights}")

    @exits_with_one_sentence
    def trial() -> None:
        nni_private.become_trial()
        run(given, ready)

    return trial
