"""Going on with an experiment that was stopped or has lost a part of itself, by ``nnictl resume``."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nni_earlyexit import search_spaces
from nni_earlyexit.evaluation import nni_database
from nni_earlyexit.evaluation.stored_outputs import experiment_folder
from nni_earlyexit.experiment.config import check_weights, read_by_trials
from nni_earlyexit.experiment.manager import Manager
from nni_earlyexit.experiment.overview import DONE, STOPPED, overview
from nni_earlyexit.experiment.reach import check_reach
from nni_earlyexit.experiment.run import ends_by_signal, follow, interrupt
from nni_earlyexit.experiment.workers import check_workers, remote_machines
from nni_earlyexit.integration import trial_arguments
from nni_earlyexit.integration.search_space_file import written_identity
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
    mixed up with it. ``ValueError`` for one that runs, for one that has had all of its trials or all of its time, and for one
    whose workers have other versions or files by now.
    """
    before = overview(experiment_folder(experiment))
    check_writable(results, "results")
    if before.port is not None and before.status not in ENDED:
        raise ValueError(
            f"experiment: {before.id!r} runs on port {before.port}; go on with 'nni-earlyexit run --attach {before.id}'"
        )
    if before.status == DONE:
        raise ValueError(f"experiment: {before.id!r} is done; 'nni-earlyexit front {before.id}' writes its front")
    _check_trials(before.folder, say)
    command = nni_database.load(before.folder).config.get("trialCommand")
    for name in trial_arguments.allowed_spaces(str(command)):
        search_spaces.allow(name)
    if before.port != port:
        check_port(port)
    Manager(before.id, port if before.port is None else before.port).stop()
    say(f"goes on with experiment {before.id}: {before.state.counts} so far")
    with ends_by_signal(interrupt):
        try:
            goes_on = Manager.resume(before.folder, port)
        except BaseException as error:
            with ends_by_signal(signal.SIG_IGN):
                Manager(before.id, port).stop()
            if not isinstance(error, KeyboardInterrupt):
                raise
            say("interrupted; nothing is left running")
            return 130
        return follow(goes_on, before.folder, results, grace_s, say, console)


def _check_trials(folder: Path, say: Say) -> None:
    """See, as before the start of an experiment, that its trials have the weights they begin with, and its workers the same."""
    config = nni_database.load(folder).config
    services = config.get("trainingService")
    for service in services if isinstance(services, Sequence) else [services]:
        if isinstance(service, Mapping):
            check_reach(service, "resume", f"nnictl resume {folder.name}")
    given = trial_arguments.of_command(str(config.get("trialCommand")))
    space = config.get("searchSpace")
    files = []
    if given is not None:  # else trials of other people's
        settings = trial_arguments.parse(given, helps=False).settings
        check_weights(settings)
        folder_of_trials = Path(str(config.get("trialCodeDirectory") or "."))
        replace(settings, data=settings.data.with_whole_paths(folder_of_trials)).check_there()
        if isinstance(space, Mapping):
            files = read_by_trials(settings, written_identity(space))
    if machines := remote_machines(folder):
        check_workers(machines, files, say)
