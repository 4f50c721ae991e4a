"""The parameters that belong to this trial.

NNI's local platform hands the next parameters to whichever trial asks first, and the web UI, the exported results and the
resumed experiment pair results with the parameters that were meant for the trial. So a trial asks the manager which those
are, and runs them.
"""

from __future__ import annotations

import os
from typing import Any

import nni
from nni_earlyexit.integration import nni_private, rest, trial_channel


def take_parameters() -> Any:
    """Take the parameters of this trial. A request to the manager that fails is made again."""
    trial_channel.be_patient()
    handed_out = nni.get_next_parameter()
    return own_parameters() if handed_out or _on_local_platform() else handed_out


def own_parameters() -> Any:
    """The parameters of this trial, in place of those that :func:`nni.get_next_parameter` handed out, or did not.

    Outside an NNI trial, and on platforms that do not have the fault, they are the ones handed out.
    """
    handed_out = nni_private.handed_out_parameters()
    if not _on_local_platform():
        return nni.get_current_parameter()
    manager = rest.address(os.environ["NNI_TRIAL_COMMAND_CHANNEL"])
    job = rest.get(manager, f"trial-jobs/{os.environ['NNI_TRIAL_JOB_ID']}")
    own = nni.load(job["hyperParameters"][-1])
    if handed_out is None or own["parameter_id"] != handed_out["parameter_id"]:
        nni_private.replace_parameters(own)
    return own["parameters"]


def _on_local_platform() -> bool:
    return os.environ.get("NNI_PLATFORM") == "local" and "NNI_TRIAL_COMMAND_CHANNEL" in os.environ
