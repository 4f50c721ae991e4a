"""``nni-earlyexit register``: tuner and assessor made known to NNI."""

from __future__ import annotations

from nni_earlyexit.utils.progress import say


def command() -> None:
    """Make the EarlyExit tuner and assessor known to this environment's NNI.

    Commands that need it say so; experiments can then name the tuner EarlyExit and the assessor EarlyExitHalving.

    Example: nni-earlyexit register
    """
    from nni_earlyexit.experiment.registration import register

    say("NNI knows EarlyExit and EarlyExitHalving" + (" now" if register() else " already"))
