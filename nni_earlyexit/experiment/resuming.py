"""Going on with an experiment that was stopped or has lost a part of itself, by ``nnictl resume``."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

from nni_earlyexit.evaluation.stored_outputs import experiment_folder
from nni_earlyexit.experiment.manager import Manager
from nni_earlyexit.experiment.overview import DONE, STOPPED, overview
from nni_earlyexit.experiment.run import attach, ends_by_signal, interrupt
from nni_earlyexit.utils.checks import check_port, check_writable
from nni_earlyexit.utils.progress import Say

if TYPE_CHECKING:
    from rich.console import Console

ENDED = (DONE, STOPPED, "ERROR", "VIEWED", "STOPPING")
"""Statuses of an experiment of which nothing goes on."""


def resume(
    experiment: str,
    *,
    port: int,
    results: Path,
    grace_s: float | None = None,
    say: Say = print,
    console: Console | None = None,
) -> int:
    """Go on with ``experiment``, an ID or a folder, and follow it as :func:`~nni_earlyexit.experiment.run.run`; the exit code.

    What is left of it, such as a manager that failed or a tuner without a manager, is ended first, as the new manager would get
    mixed up with it. ``ValueError`` for one that runs, and for one that has had all of its trials or all of its time.
    """
    before = overview(experiment_folder(experiment))
    check_writable(results, "results")
    if before.port is not None and before.status not in ENDED:
        raise ValueError(
            f"experiment: {before.id!r} runs on port {before.port}; go on with 'nni-earlyexit run --attach {before.id}'"
        )
    if before.status == DONE:
        raise ValueError(f"experiment: {before.id!r} is done; 'nni-earlyexit front {before.id}' writes its front")
    if before.port != port:
        check_port(port)
    Manager(before.id, port if before.port is None else before.port).stop()
    say(f"goes on with experiment {before.id}: {before.state.counts} so far")
    with ends_by_signal(interrupt):
        try:
            Manager.resume(before.folder, port)
        except BaseException as error:
            with ends_by_signal(signal.SIG_IGN):
                Manager(before.id, port).stop()
            if not isinstance(error, KeyboardInterrupt):
                raise
            say("interrupted; nothing is left running")
            return 130
    return attach(before.id, results=results, grace_s=grace_s, say=say, console=console)
