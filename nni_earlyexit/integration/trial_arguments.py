"""The command line of a trial."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nni_earlyexit.training.settings import Settings
from nni_earlyexit.utils.amounts import parse_amount, parse_duration
from nni_earlyexit.utils.errors import Parser

MODULE = "nni_earlyexit.trial"


@dataclass(frozen=True)
class Arguments:
    """What a trial's command line says.

    Attributes
    ----------
    settings
        How the network is trained and judged.
    timeout_s
        Seconds after which the trial gives up.
    allow_spaces
        Modules of search spaces that parameters may name.
    """

    settings: Settings
    timeout_s: float | None = None
    allow_spaces: tuple[str, ...] = ()


def parser(helps: bool = True) -> Parser:
    """The command line; it imports nothing heavy. Without ``helps``, ``--help`` is a mistake."""

    def parsed_by(parse: Callable[[str], float]) -> Callable[[str], float]:
        def checked(text: str) -> float:
            try:
                return parse(text)
            except ValueError as error:
                raise argparse.ArgumentTypeError(str(error)) from None

        return checked

    amount = parsed_by(parse_amount)
    p = Parser(prog=f"python -m {MODULE}", description=__doc__, allow_abbrev=False, add_help=helps)
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
    p.add_argument(
        "--trial-timeout", type=parsed_by(parse_duration), help="time after which the trial fails, such as 30m"
    )
    p.add_argument(
        "--allow-space", action="append", default=[], help="module of your own that the search space file may name"
    )
    return p


def parse(arguments: Sequence[str], helps: bool = True) -> Arguments:
    """What a command line says; ``ValueError`` in one sentence when it cannot work."""
    given = vars(parser(helps).parse_args(arguments))
    timeout, allowed = given.pop("trial_timeout"), given.pop("allow_space")
    return Arguments(Settings.from_dict(given), timeout, tuple(allowed))
