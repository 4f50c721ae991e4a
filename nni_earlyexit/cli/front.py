"""``nni-earlyexit front``: the front of an experiment's finished trials, judged."""

from __future__ import annotations

from pathlib import Path

from nni_earlyexit.cli.options import AllowSpace, Experiment, Results
from nni_earlyexit.utils.checks import check_writable
from nni_earlyexit.utils.progress import say


def command(
    experiment: Experiment,
    results: Results = Path("results"),
    allow_space: AllowSpace = [],  # noqa: B006  Typer copies it
) -> int:
    """Judge and write the front of an experiment's finished trials.

    Cutoffs are fitted to the calibration split, and every network of the front is judged on the test split, once. Writes
    front.json and front.png.

    Example: nni-earlyexit front EXPERIMENT --results results
    """
    from nni_earlyexit.evaluation.stored_outputs import experiment_folder

    check_writable(results, "results")
    folder = experiment_folder(experiment)

    from nni_earlyexit import search_spaces
    from nni_earlyexit.report.front_report import write_front

    for name in allow_space:
        search_spaces.allow(name)
    return 0 if write_front(folder, results, say) else 1
