"""The trial of an NNI experiment: ``python -m nni_earlyexit.trial``.

It takes the parameters that NNI has for it, builds the network that they mean, and lets the evaluator do the rest. How to
train is said by the arguments, which are those of :class:`nni_earlyexit.EarlyExitEvaluator`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nni_earlyexit.errors import Parser, exits_with_one_sentence
from nni_earlyexit.goal import parse_amount
from nni_earlyexit.settings import Settings

MODULE = "nni_earlyexit.trial"


def parser() -> Parser:
    """The command line; it imports nothing heavy."""

    def amount(text: str) -> float:
        try:
            return parse_amount(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    p = Parser(prog=f"python -m {MODULE}", description=__doc__, allow_abbrev=False)
    default = Settings
    p.add_argument("--data", default=default.data, help="name of a data set, or a .npz file with arrays x and y")
    p.add_argument("--input-shape", type=int, nargs="+", help="shape that images are resized to, such as 3 32 32")
    p.add_argument("--epochs", type=int, default=default.epochs, help="passes over the training split")
    p.add_argument("--batch-size", type=int, default=default.batch_size, help="inputs per step")
    p.add_argument("--learning-rate", type=float, default=default.learning_rate, help="peak of the learning rate cycle")
    p.add_argument("--exit-weights", type=float, nargs="+", help="weight in the loss of the exit after each stage")
    p.add_argument("--max-avg-macs", type=amount, help="limit on average MACs, such as 400k")
    p.add_argument("--max-full-macs", type=amount, help="limit on the last exit's MACs, such as 2M")
    p.add_argument("--max-params", type=amount, help="limit on parameters, such as 1M")
    p.add_argument(
        "--max-activation-bytes", type=amount, help="limit on bytes of activations alive at once, such as 256k"
    )
    p.add_argument("--max-latency-s", type=float, help="limit on average seconds, by the latency table")
    p.add_argument("--latency-table", help="file of 'nni-earlyexit latency'; latency_s is then reported too")
    p.add_argument("--min-accuracy", type=float, help="report the cheapest policy with this accuracy")
    p.add_argument("--max-drop", type=float, help="report the cheapest policy this close to the last exit's accuracy")
    p.add_argument("--tolerance", type=float, help="report the cheapest policy this close to the best accuracy (0.005)")
    p.add_argument("--weight", type=float, help="report the policy with the largest accuracy - weight * cost share")
    p.add_argument("--knee", action="store_true", help="report the policy where the trade-off bends most")
    p.add_argument("--confidence", default=default.confidence, help="confidence measure of the exits")
    p.add_argument("--seed", type=int, default=default.seed, help="fixes weights, batches and splits")
    p.add_argument("--threads", type=int, help="CPU threads of this trial (torch's default: all cores)")
    return p


def parse(arguments: Sequence[str]) -> Settings:
    """Settings from a command line; ``ValueError`` in one sentence when they cannot work."""
    return Settings.from_dict(vars(parser().parse_args(arguments)))


def split_parameters(parameters: Any) -> tuple[str, dict[str, Any]]:
    """The space's identity and the sample from NNI's parameters."""
    if not isinstance(parameters, Mapping) or "space" not in parameters:
        raise ValueError(
            f"parameters: {parameters!r} do not name a space; the search space file must come from 'nni-earlyexit space NAME'"
        )
    return parameters["space"], {label: value for label, value in parameters.items() if label != "space"}


def check_identity(identity: str, expected: str) -> None:
    """``ValueError`` unless a search space file's ``identity`` is the ``expected`` one of the installed space."""
    if identity != expected:
        raise ValueError(
            f"space: {identity!r} is not {expected!r}, which is installed; write the search space file again with "
            f"'nni-earlyexit space {expected.partition('/')[0]}'"
        )


@exits_with_one_sentence
def main() -> None:
    settings = parse(sys.argv[1:])

    import nni
    from nni_earlyexit import record
    from nni_earlyexit.assignment import own_parameters

    if nni.get_next_parameter() in (None, {}):
        raise ValueError("parameters: NNI gave none; start this through an NNI experiment, or use EarlyExitEvaluator")
    identity, sample = split_parameters(own_parameters())

    folder = Path(os.environ["NNI_OUTPUT_DIR"])
    with record.claimed(folder):
        finished = record.load(folder)
        if finished is not None and (finished.space, finished.sample, finished.settings) == (
            identity,
            sample,
            settings,
        ):
            # NNI runs interrupted trials again when it resumes; this one had come to its end
            nni.report_final_result(finished.metrics)
        else:
            _train(identity, sample, settings)


def _train(identity: str, sample: Mapping[str, Any], settings: Settings) -> None:
    import torch
    from nni_earlyexit import search_spaces
    from nni_earlyexit.evaluator import EarlyExitEvaluator

    space = search_spaces.create(str(identity))
    check_identity(identity, space.identity())
    evaluator = EarlyExitEvaluator(**settings.to_dict())
    torch.manual_seed(settings.seed)
    result = evaluator.evaluate(space.freeze(sample))
    shown = {name: result.metrics[name] for name in ("accuracy", "avg_macs", "full_macs", "feasible", "train_seconds")}
    print(space.describe(sample), shown, flush=True)


if __name__ == "__main__":
    main()
