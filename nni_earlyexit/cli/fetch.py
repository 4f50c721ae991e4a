"""``nni-earlyexit fetch``: networks from the machines that they were trained on."""

from __future__ import annotations

from typing import Annotated

import typer
from nni_earlyexit.utils.progress import say


def command(
    experiment: Annotated[str, typer.Argument(metavar="EXPERIMENT", help="the ID of an experiment, or its folder")],
) -> int:
    """Copy the networks of an experiment from the machines that its trials ran on.

    ``run`` and ``resume`` do so at their end. While a search runs, or where a machine could not be reached, this does it.

    Example: nni-earlyexit fetch EXPERIMENT
    """
    from nni_earlyexit.evaluation.stored_outputs import experiment_folder
    from nni_earlyexit.experiment.workers import fetch, remote_machines

    folder = experiment_folder(experiment)
    if not remote_machines(folder):
        raise ValueError(f"experiment: {experiment!r} has no other machines, or no database of NNI's that names them")
    return 0 if fetch(folder, say) else 1
