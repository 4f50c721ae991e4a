"""``nni-earlyexit thresholds``: cutoffs fitted to stored outputs, without training."""

from __future__ import annotations

import argparse
from pathlib import Path

from nni_earlyexit.cli.options import Commands, add_guarantee, amount, guarantee_of
from nni_earlyexit.thresholds.operating_point import PointGoal
from nni_earlyexit.utils.checks import check_writable
from nni_earlyexit.utils.options import add_options, options
from nni_earlyexit.utils.progress import say


def add(commands: Commands) -> argparse.ArgumentParser:
    """Describe the command line."""
    command = commands.add_parser("thresholds", help="fit cutoffs to stored outputs, without training")
    command.add_argument("source", help="a file OUTPUTS.npz, or an experiment's ID or folder")
    command.add_argument("--trial", help="the trial of the experiment")
    goal = command.add_argument_group("goal (without any: that of the trial, or the cheapest within 0.005 of the best)")
    goal.add_argument(
        "--max-avg-macs", type=amount, help="limit on average MACs, such as 5M; alone: best accuracy within"
    )
    add_options(goal, PointGoal)
    how = command.add_argument_group("how")
    how.add_argument("--confidence", help="max_prob (default), entropy, margin, energy, patience or learned")
    how.add_argument("--temperature-scaling", action="store_true", help="calibrate each exit's probabilities first")
    add_guarantee(how)
    how.add_argument("--seed", type=int, default=0, help="of the splits of learned confidence and guarantee (0)")
    command.add_argument("--results", type=Path, help="folder for policy.json and thresholds.png (beside the outputs)")
    return command


def execute(arguments: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    from nni_earlyexit.evaluation import stored_outputs
    from nni_earlyexit.report import thresholds_report
    from nni_earlyexit.thresholds.optimizer import ThresholdOptimizer

    source = stored_outputs.source(arguments.source, arguments.trial)
    results = arguments.results or source.folder
    check_writable(results, "results")
    goal = {option.name: getattr(arguments, option.name) for option in options(PointGoal)}
    goal["max_cost"] = arguments.max_avg_macs
    asked = any(value is not None and value is not False for value in goal.values())
    chosen = {**source.arguments, **(goal if asked or arguments.guarantee is not None else {})}
    if arguments.confidence is not None:
        chosen["confidence"] = arguments.confidence
    guarantee = guarantee_of(arguments)
    optimizer = ThresholdOptimizer(
        **chosen,
        temperature_scaling=arguments.temperature_scaling,
        guarantee=guarantee,
        random_state=arguments.seed,
    )
    try:
        thresholds_report.refit(source, optimizer, results, say)
    except ValueError as error:
        raise ValueError(str(error).replace("max_cost", "max_avg_macs")) from None
    return 0
