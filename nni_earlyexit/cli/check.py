"""``nni-earlyexit check``: the check of an experiment file; it changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(config: Annotated[Path, typer.Argument(metavar="CONFIG", help="the experiment file")]) -> None:
    """Check an NNI experiment file: whether it could run, without starting anything.

    Example: nni-earlyexit check examples/digits/experiment.yml
    """
    from nni_earlyexit.experiment.config import check
    from nni_earlyexit.experiment.reach import check_reach
    from nni_earlyexit.experiment.registration import is_registered

    checked = check(config)
    if not is_registered():
        raise ValueError("tuner: NNI does not know EarlyExit as it is now; run 'nni-earlyexit register'")
    try:
        check_reach(checked.service, "run", f"nnictl create --config {config}")
    except ValueError as error:
        print(f"{config} is right, though not for 'run': {error}")
    else:
        print(f"{config} can be run")
