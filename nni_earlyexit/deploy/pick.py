"""The trial that a user names, of an experiment or alone in its folder."""

from __future__ import annotations

from nni_earlyexit.deploy.wish import Wish
from nni_earlyexit.evaluation import record
from nni_earlyexit.evaluation.again import EVERY, picked
from nni_earlyexit.evaluation.held_out import recommended
from nni_earlyexit.evaluation.network_front import finished, is_usable
from nni_earlyexit.evaluation.record import Record
from nni_earlyexit.evaluation.stored_outputs import experiment_folder
from nni_earlyexit.training.settings import Settings
from nni_earlyexit.utils.paths import expanded
from nni_earlyexit.utils.progress import Say


def picked_network(name: str, pick: str | None, say: Say = print) -> tuple[Record, Settings]:
    """The trial, and the settings by whose goal and limits its cutoffs are fitted.

    Parameters
    ----------
    name
        ID or folder of an experiment, or the folder of one trained network.
    pick
        A wish (:class:`Wish`), a number on the front, or the ID of a trial; ``None`` is the network that the table of the
        front recommends.
    say
        Hears of trials that cannot be read.

    Raises
    ------
    ValueError
        For what names no network, or more than one.
    """
    wish = Wish.parse(pick) if pick is not None else None
    alone = expanded(name)
    if (alone / record.SUMMARY).is_file():
        trial = record.load(alone)
        if trial is None or trial.policy is None:
            raise ValueError(f"experiment: the network in {name!r} missed a limit and was not trained")
        if pick is not None and wish is None:
            raise ValueError(f"pick: {pick!r} is for an experiment; {name!r} is one network")
        trials = [trial]
    elif wish is not None:
        trials = [own for own in finished(experiment_folder(name), say) if own.policy is not None]
    elif pick is None:
        trials = [recommended(picked(experiment_folder(name), EVERY, say, with_again=True))]
    else:
        trials = picked(experiment_folder(name), pick, say, with_again=True)
    if wish is not None:
        chosen = wish.pick(trials)
        while not is_usable(chosen, say):
            trials = [trial for trial in trials if trial is not chosen]
            chosen = wish.pick(trials)
        return chosen, wish.settings(chosen.settings)
    if len(trials) != 1:
        raise ValueError(f"pick: {pick!r} names {len(trials)} networks; one is exported at a time")
    return trials[0], trials[0].settings
