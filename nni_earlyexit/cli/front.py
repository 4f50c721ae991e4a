"""``nni-earlyexit front``: the front of an experiment's finished trials, judged."""

from __future__ import annotations

from pathlib import Path

from nni_earlyexit.cli.options import AllowSpace, AsCsv, AsJson, Experiment, Results
from nni_earlyexit.cli.output import print_rows, progress
from nni_earlyexit.utils.checks import check_writable


def command(
    experiment: Experiment,
    results: Results = Path("results"),
    allow_space: AllowSpace = [],  # noqa: B006  Typer copies it
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> int:
    """Judge and write the front of an experiment's finished trials.

    Cutoffs are fitted to the calibration split, and every network of the front is judged on the test split, once. Writes
    front.json and front.png.

    Example: nni-earlyexit front EXPERIMENT --results results
    """
    from nni_earlyexit.evaluation.stored_outputs import experiment_folder

    say = progress(as_json, as_csv)
    check_writable(results, "results")
    folder = experiment_folder(experiment)

    from nni_earlyexit import search_spaces
    from nni_earlyexit.evaluation.experiment_front import experiment_front
    from nni_earlyexit.experiment import overview
    from nni_earlyexit.report import front_report

    for name in allow_space:
        search_spaces.allow(name)
    front = experiment_front(folder, say)
    if front is None:
        return 1
    if as_json or as_csv:
        print_rows(front.rows(), as_json, front.to_dict())
    else:
        say("\n" + front_report.text(front) + "\n")
    if overview.is_searching(folder):
        say("the search still runs: trials that end from now on are not in this front")
    front_report.save(front, results, say)
    return 0
