"""The work of a trial: its parameters, the network that they mean, and its evaluation. Heavy modules are imported late."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from nni_earlyexit.integration.search_space_file import split_parameters
from nni_earlyexit.integration.trial_arguments import Arguments
from nni_earlyexit.training.settings import Settings

if TYPE_CHECKING:
    from nni_earlyexit.integration.evaluator import EarlyExitEvaluator


def run(arguments: Arguments, ready: Mapping[Settings, EarlyExitEvaluator] = MappingProxyType({})) -> None:
    """Do the work of the trial, with an evaluator that is ``ready`` if there is one for its settings."""
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
    space = search_spaces.restore(identity)
    check_same(identity, space.identity())
    settings = arguments.settings.with_whole_paths().for_network(space.input_shape)

    def train() -> None:
        import torch
        from nni_earlyexit.integration.evaluator import EarlyExitEvaluator

        evaluator = ready[settings] if settings in ready else EarlyExitEvaluator(settings)
        torch.manual_seed(settings.training.seed)
        result = evaluator.evaluate(space.freeze(sample))
        shown = {
            name: result.metrics[name] for name in ("accuracy", "avg_macs", "full_macs", "feasible", "train_seconds")
        }
        print(space.describe(sample), shown, flush=True)

    once(Path(os.environ["NNI_OUTPUT_DIR"]), sample, settings, identity, train)
