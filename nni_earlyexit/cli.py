"""The command ``nni-earlyexit``."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from nni_earlyexit.utils.amounts import parse_amount, parse_duration, parse_share
from nni_earlyexit.utils.errors import Parser, exits_with_one_sentence


def parser() -> Parser:
    """The command line."""

    p = Parser(prog="nni-earlyexit", description="Search early-exit networks with NNI.")
    commands = p.add_subparsers(dest="command", required=True)

    commands.add_parser("spaces", help="list the search spaces with their size and costs")

    space = commands.add_parser("space", help="print NNI's search space file of a space")
    _add_space(space)

    latency = commands.add_parser("latency", help="measure a space's blocks on this machine, for latency as a cost")
    _add_space(latency)
    latency.add_argument("--output", type=Path, required=True, help="the file to write, such as latency.json")
    latency.add_argument("--batch-size", type=int, default=1, help="inputs at once (1)")
    latency.add_argument("--threads", type=int, default=1, help="CPU threads (1)")
    latency.add_argument("--dtype", default="float32", help="float32 or bfloat16 (float32)")

    check = commands.add_parser("check", help="check an NNI experiment file")
    check.add_argument("config", type=Path, help="the experiment file")

    run = commands.add_parser("run", help="run an NNI experiment file, show progress and write the front")
    run.add_argument("config", type=Path, nargs="?", help="the experiment file")
    run.add_argument("--attach", metavar="ID", help="go on with an experiment that runs, in place of starting one")
    run.add_argument("--port", type=int, default=8080, help="port of NNI's web UI, on this machine only (8080)")
    run.add_argument("--results", type=Path, help="folder for front.json and front.png (results beside the file)")
    run.add_argument(
        "--grace",
        type=_duration,
        help="time that trials may go on after maxExperimentDuration, such as 5m (a tenth of it, at least a minute)",
    )

    front = commands.add_parser("front", help="judge and write the front of an experiment's finished trials")
    front.add_argument("folder", type=Path, help="the experiment's folder, such as ~/nni-experiments/ID")
    front.add_argument("--results", type=Path, default=Path("results"), help="folder for front.json and front.png")
    front.add_argument(
        "--allow-space", action="append", default=[], help="module of your own that the trials' files may name"
    )

    thresholds = commands.add_parser("thresholds", help="fit cutoffs to stored outputs, without training")
    thresholds.add_argument("source", help="a file OUTPUTS.npz, or an experiment's ID or folder")
    thresholds.add_argument("--trial", help="the trial of the experiment")
    goal = thresholds.add_argument_group(
        "goal (without any: that of the trial, or the cheapest within 0.005 of the best)"
    )
    goal.add_argument(
        "--max-avg-macs", type=_amount, help="limit on average MACs, such as 5M; alone: best accuracy within"
    )
    goal.add_argument("--min-accuracy", type=_share, help="the cheapest with this accuracy, such as 85%%")
    goal.add_argument(
        "--max-drop", type=_share, help="the cheapest this close to the last exit's accuracy, such as 1%%"
    )
    goal.add_argument("--tolerance", type=_share, help="the cheapest this close to the best accuracy")
    goal.add_argument("--weight", type=float, help="the largest accuracy - weight * share of the full cost")
    goal.add_argument("--knee", action="store_true", help="where the trade-off bends most")
    how = thresholds.add_argument_group("how")
    how.add_argument("--confidence", help="max_prob (default), entropy, margin, energy, patience or learned")
    how.add_argument("--temperature-scaling", action="store_true", help="calibrate each exit's probabilities first")
    how.add_argument(
        "--guarantee", type=_share, help="the true drop is at most this, with probability --with-confidence"
    )
    how.add_argument("--with-confidence", type=_share, default=0.95, help="of the guarantee (95%%)")
    how.add_argument("--seed", type=int, default=0, help="of the splits of learned confidence and guarantee (0)")
    thresholds.add_argument(
        "--results", type=Path, help="folder for policy.json and thresholds.png (beside the outputs)"
    )

    commands.add_parser("register", help="make the EarlyExit tuner and assessor known to this environment's NNI")
    return p


@exits_with_one_sentence
def main() -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # what a trial says may hold what a terminal cannot show
    arguments = parser().parse_args()
    if arguments.command == "space":
        from nni_earlyexit import search_spaces

        print(json.dumps(search_spaces.create(" ".join(arguments.space)).search_space(), indent=2))
    elif arguments.command == "spaces":
        from nni_earlyexit.space_table import rows

        for line in rows():
            _say(line)
    elif arguments.command == "latency":
        from nni_earlyexit import search_spaces
        from nni_earlyexit.space.latency_table import LatencyTable
        from nni_earlyexit.utils.checks import check_writable

        check_writable(arguments.output.parent, "output")
        table = LatencyTable.build(
            search_spaces.create(" ".join(arguments.space)),
            batch_size=arguments.batch_size,
            threads=arguments.threads,
            dtype=arguments.dtype,
            say=_say,
        )
        table.save(arguments.output)
        _say(f"{arguments.output}")
    elif arguments.command == "check":
        from nni_earlyexit.experiment_file import check

        check(arguments.config)
        print(f"{arguments.config} can be run")
    elif arguments.command == "run":
        from nni_earlyexit.run import attach, run

        if (arguments.config is None) == (arguments.attach is None):
            raise ValueError("run: it needs an experiment file or --attach ID, and not both")
        how = {"results": arguments.results, "grace_s": arguments.grace, "say": _say}
        if arguments.attach is not None:
            sys.exit(attach(arguments.attach, **how))
        sys.exit(run(arguments.config, port=arguments.port, **how))
    elif arguments.command == "front":
        from nni_earlyexit import search_spaces
        from nni_earlyexit.run import write_front
        from nni_earlyexit.utils.checks import check_writable

        folder = arguments.folder.expanduser()
        if not folder.is_dir():
            raise FileNotFoundError(f"folder: there is no folder {str(arguments.folder)!r}")
        check_writable(arguments.results, "results")
        for name in arguments.allow_space:
            search_spaces.allow(name)
        sys.exit(0 if write_front(folder, arguments.results, _say) else 1)
    elif arguments.command == "thresholds":
        _thresholds(arguments)
    elif arguments.command == "register":
        from nni_earlyexit.experiment_file import register

        register()


def _thresholds(arguments: argparse.Namespace) -> None:
    from nni_earlyexit import refit
    from nni_earlyexit.thresholds.guarantee import Guarantee
    from nni_earlyexit.thresholds.optimizer import ThresholdOptimizer
    from nni_earlyexit.utils.checks import check_writable

    source = refit.source(arguments.source, arguments.trial)
    results = arguments.results or source.folder
    check_writable(results, "results")
    goal = {name: getattr(arguments, name) for name in ("min_accuracy", "max_drop", "tolerance", "weight")}
    goal |= {"max_cost": arguments.max_avg_macs, "knee": arguments.knee}
    asked = any(value not in (None, False) for value in goal.values())
    chosen = {**source.arguments, **(goal if asked or arguments.guarantee is not None else {})}
    if arguments.confidence is not None:
        chosen["confidence"] = arguments.confidence
    guarantee = None
    if arguments.guarantee is not None:
        guarantee = Guarantee(arguments.guarantee, arguments.with_confidence)
    optimizer = ThresholdOptimizer(
        **chosen,
        temperature_scaling=arguments.temperature_scaling,
        guarantee=guarantee,
        random_state=arguments.seed,
    )
    try:
        refit.refit(source, optimizer, results, _say)
    except ValueError as error:
        raise ValueError(str(error).replace("max_cost", "max_avg_macs")) from None


def _amount(text: str) -> float:
    return _parsed(parse_amount, text)


def _duration(text: str) -> float:
    return _parsed(parse_duration, text)


def _share(text: str) -> float:
    return _parsed(parse_share, text)


def _parsed(parse: Callable[[str], float], text: str) -> float:
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _add_space(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "space",
        nargs="+",
        help="name of the space and its arguments, such as: mobilenetv3 resolution=224 num_classes=100 max_exits=2",
    )


def _say(line: str) -> None:
    """A line of progress. When nobody reads any more, as after the end of a terminal, the work goes on to its end."""
    try:
        print(line, flush=True)
    except OSError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  to the end of this process


if __name__ == "__main__":
    main()
