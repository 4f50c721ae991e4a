"""The parameters that belong to this trial.

NNI's local platform hands the next parameters to whichever trial asks first, and the web UI, the exported results and the
resumed experiment pair results with the parameters that were meant for the trial. So a trial asks the manager which those
are, and runs them.
"""

from __future__ import annotations

import os
from typing import Any

import nni
from nni_earlyexit import rest


def own_parameters() -> Any:
    """This trial's parameters, in place of those that :func:`nni.get_next_parameter` handed out.

    Outside an NNI trial, and on platforms that do not have the fault, they are the ones handed out.
    """
    handed_out = nni.trial._params
    if os.environ.get("NNI_PLATFORM") != "local" or handed_out is None:
        return nni.get_current_parameter()
    manager = rest.address(os.environ["NNI_TRIAL_COMMAND_CHANNEL"])
    job = rest.get(manager, f"trial-jobs/{os.environ['NNI_TRIAL_JOB_ID']}")
    own = nni.load(job["hyperParameters"][-1])
    if own["parameter_id"] != handed_out["parameter_id"]:
        nni.trial._params = own
    return own["parameters"]
