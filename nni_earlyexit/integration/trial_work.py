"""The work of a trial: its parameters, the network that they mean, and its evaluation. Heavy modules are imported late."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nni_earlyexit.integration.search_space_file import split_parameters
from nni_earlyexit.integration.trial_arguments import Arguments

if TYPE_CHECKING:
    from nni_earlyexit.integration.evaluator import EarlyExitEvaluator
    from nni_earlyexit.space.base import EarlyExitSpace


@dataclass(frozen=True)
class Ready:
    """A space, and an evaluator for its networks, that are in memory before a trial begins."""

    space: EarlyExitSpace
    evaluator: EarlyExitEvaluator


def run(arguments: Arguments, ready: Ready | None = None) -> None:
    """Do the work of the trial, with what is ``ready`` if it is what the trial needs."""
    from nni_earlyexit.integration import trial_guards

    if os.environ.get("NNI_OUTPUT_DIR"):
        trial_guards.cap_logs(Path(os.environ["NNI_OUTPUT_DIR"]))
    if arguments.timeout_s is not None:
        trial_guards.end_after(arguments.timeout_s)

    from nni_earlyexit import search_spaces
    from nni_earlyexit.integration.assignment import take_parameters
    from nni_earlyexit.integration.finished_trial import once
    from nni_earlyexit.space.identity import check_same

    parameters = take_parameters()
    if parameters in (None, {}):
        raise ValueError("parameters: NNI gave none; start this through an NNI experiment, or use EarlyExitEvaluator")
    for name in arguments.allow_spaces:
        search_spaces.allow(name)
    identity, sample = split_parameters(parameters)
    space = ready.space if ready is not None and ready.space.identity() == identity else search_spaces.restore(identity)
    check_same(identity, space.identity())
    settings = arguments.settings.with_whole_paths().for_network(space.input_shape)

    def train() -> None:
        import torch
        from nni_earlyexit.integration.evaluator import EarlyExitEvaluator

        if ready is not None and ready.evaluator.settings == settings:
            evaluator = ready.evaluator
        else:
            evaluator = EarlyExitEvaluator(settings)
        torch.manual_seed(settings.training.seed)
        result = evaluator.evaluate(space.freeze(sample))
        shown = {
            name: result.metrics[name] for name in ("accuracy", "avg_macs", "full_macs", "feasible", "train_seconds")
        }
        print(space.describe(sample), shown, flush=True)

    once(Path(os.environ["NNI_OUTPUT_DIR"]), sample, settings, identity, train)
