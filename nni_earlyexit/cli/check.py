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
    from nni_earlyexit.experiment.registration import is_registered

    check(config)
    if not is_registered():
        raise ValueError("tuner: NNI does not know EarlyExit as it is now; run 'nni-earlyexit register'")
    print(f"{config} can be run")
