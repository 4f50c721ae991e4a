"""The trial of an NNI experiment: ``python -m nni_earlyexit.trial``.

It takes the parameters that NNI has for it, builds the network that they mean, and lets the evaluator do the rest. How to
train is said by the arguments, which are those of :class:`nni_earlyexit.EarlyExitEvaluator`.
"""

from __future__ import annotations

import os
import signal
import sys

from nni_earlyexit.integration import trial_client, trial_guards, trial_work
from nni_earlyexit.integration.trial_arguments import parse
from nni_earlyexit.utils import garbage
from nni_earlyexit.utils.errors import exits_with_one_sentence


@exits_with_one_sentence
def main() -> None:
    """Run the trial, or let a fork of a server do it; exit codes as :mod:`nni_earlyexit.utils.errors` says."""
    garbage.search_less_often()
    arguments = parse(sys.argv[1:])
    arguments.settings.check_there()
    if arguments.is_short and trial_client.is_possible():
        if arguments.timeout_s is not None:  # the fork counts for itself; this is for the time before it is there
            trial_guards.end_after(arguments.timeout_s + 2 * trial_guards.LOCKED_UP_S)
        # how NNI stops a trial; ended by an exit code, it would count as failed
        usual = signal.signal(signal.SIGINT, signal.SIG_DFL)
        code = trial_client.run(sys.argv[1:])
        if code is not None and code < 0:
            os.kill(os.getpid(), -code)  # as the one that did the work
        if code is not None:
            sys.exit(code)
        signal.signal(signal.SIGINT, usual)
    trial_work.run(arguments)


if __name__ == "__main__":
    main()
