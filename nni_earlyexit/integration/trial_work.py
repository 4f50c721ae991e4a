"""The work of a trial: its parameters, the network that they mean, and its evaluation. Heavy modules are imported late."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nni_earlyexit.integration.search_space_file import split_parameters
from nni_earlyexit.integration.trial_arguments import Arguments
from nni_earlyexit.utils.amounts import format_macs
from nni_earlyexit.utils.errors import sentence

if TYPE_CHECKING:
    from nni_earlyexit.evaluation.evaluation import Evaluation
    from nni_earlyexit.integration.evaluator import EarlyExitEvaluator
    from nni_earlyexit.space.base import EarlyExitSpace


@dataclass(frozen=True)
class Ready:
    """A space, and an evaluator for its networks, that are in memory before a trial begins."""

    space: EarlyExitSpace
    evaluator: EarlyExitEvaluator


def outcome(result: Evaluation) -> str:
    """The outcome of a trial, for its log."""
    metrics = result.metrics
    full = f"{format_macs(metrics['full_macs'])} to the last exit"
    if not metrics["feasible"]:
        untrained = "not trained, as it is " if result.policy is None else ""
        return f"{untrained}over the limits by {metrics['excess']:.1%}; {full}"
    average = f"{format_macs(metrics['avg_macs'])} average MACs"
    return f"accuracy {metrics['accuracy']:.4f} at {average}, {full}; {metrics['train_seconds']:.1f} s"


def run(arguments: Arguments, ready: Ready | None = None) -> None:
    """Do the work of the trial, with what is ``ready`` if it is what the trial needs.

    Where it fails, its log, which the web UI shows, says why, beside the standard error.
    """
    try:
        _run(arguments, ready)
    except Exception as error:
        print(f"failed: {sentence(error) or type(error).__name__}", flush=True)
        raise


def _run(arguments: Arguments, ready: Ready | None) -> None:
    from nni_earlyexit.integration import trial_guards

    if os.environ.get("NNI_OUTPUT_DIR"):
        trial_guards.cap_logs(Path(os.environ["NNI_OUTPUT_DIR"]))
    if arguments.timeout_s is not None:
        trial_guards.end_after(arguments.timeout_s)
    if arguments.memory is not None:
        trial_guards.end_above(arguments.memory)

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
        print(f"{space.describe(sample)}: {outcome(result)}", flush=True)

    once(Path(os.environ["NNI_OUTPUT_DIR"]), sample, settings, identity, train)
