"""``nni-earlyexit view``: an experiment that is over, in NNI's web UI."""

from __future__ import annotations

import signal

from nni_earlyexit.cli.options import Experiment, Port
from nni_earlyexit.utils.progress import say


def command(
    experiment: Experiment,
    port: Port = 8080,
) -> None:
    """Show an experiment that is over in NNI's web UI, on this machine only.

    It is 'nnictl view' with the pages as 'run' shows them. 'nnictl stop ID' ends it.

    Example: nni-earlyexit view EXPERIMENT
    """
    from nni_earlyexit.evaluation.stored_outputs import experiment_folder
    from nni_earlyexit.experiment.manager import Manager
    from nni_earlyexit.experiment.run import ends_by_signal

    folder = experiment_folder(experiment)
    try:
        manager = Manager.view(folder, port)
    except KeyboardInterrupt:  # the manager that was just started is in a session of its own
        with ends_by_signal(signal.SIG_IGN):
            Manager(folder.resolve().name, port).stop()
        raise
    say(f"NNI's web UI: {manager.address}")
    say(f"'nnictl stop {manager.id}' ends it")
