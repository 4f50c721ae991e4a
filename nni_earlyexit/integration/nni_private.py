"""Every private part of NNI 3.0 that this package touches or replaces, each with its reason.

A later NNI has to be held against this file. What NNI's profiler lacks for timm's layers stands in
:mod:`nni_earlyexit.profiling.timm_layers`.
"""

from __future__ import annotations

import json
import logging
import sys
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import nni

if TYPE_CHECKING:
    from nni.nas.execution import TrainingServiceExecutionEngine
    from nni.nas.space import ExecutableModelSpace

_logger = logging.getLogger(__name__)


def hear_of_stopped_trials() -> None:
    """Let NNI hand the tuner, as a result, the last intermediate result of a trial that an assessor stops.

    Otherwise such a trial would count as failed. What it gave was measured, so it has its place on the front if nothing
    beats it; and it is a lower bound on the accuracy that the network can have, from which a strategy may learn.

    NNI's dispatcher has this switch, but an experiment file cannot reach it.
    """
    from nni.runtime import msg_dispatcher

    switches = msg_dispatcher.dispatcher_env_vars
    msg_dispatcher.dispatcher_env_vars = switches._replace(NNI_INCLUDE_INTERMEDIATE_RESULTS="true")


def read_plain_json() -> None:
    """Let NNI's dispatcher build no objects from what comes to it: neither pickled ones nor those of a class that is named.

    Results come from trials, which may run on other machines. Parameters and results of this package are plain, and what is
    not stays what it is written as.
    """
    from nni.runtime import msg_dispatcher, msg_dispatcher_base

    msg_dispatcher.load = msg_dispatcher_base.load = json.loads


def pass_over_unknown_commands() -> None:
    """Let every engine pass over the commands that it does not know.

    The thread of an engine that listens to the manager dies of commands that only a resumed experiment gets.
    """
    from nni.runtime.tuner_command_channel import CommandType, TunerCommandChannel, TunerIncomingCommand

    original = TunerCommandChannel.receive
    if getattr(original, "passes_over", False):
        return

    class Nothing(TunerIncomingCommand):
        """A command that nobody waits for."""

        command_type = CommandType.Ping

    def receive(self: TunerCommandChannel) -> TunerIncomingCommand:
        try:
            return original(self)
        except ValueError as error:
            if not str(error).startswith("Unknown command type"):
                raise
            _logger.debug("Passed over: %s", error)
            return Nothing()

    receive.passes_over = True  # type: ignore[attr-defined]
    TunerCommandChannel.receive = receive


def kill_trial(engine: TrainingServiceExecutionEngine, model: ExecutableModelSpace) -> None:
    """End the trial of ``model`` in NNI's engine for training services, as NNI's dispatcher does it for an assessor.

    The engine cannot stop a model.
    """
    from nni.runtime.tuner_command_channel.command_type import CommandType

    for job in engine.nodejs_binding.list_trial_jobs():
        if engine._find_reference_model(job.hyperParameters[0].parameter_id) is model:
            engine._channel._send(CommandType.KillTrialJob, nni.dump(job.trialJobId))


def adopt(engine: TrainingServiceExecutionEngine, parameter_id: int, model: ExecutableModelSpace) -> None:
    """Let ``model`` get the events of a trial that the manager runs again, which a new engine does not know.

    The engine holds it weakly.
    """
    engine._models[parameter_id] = weakref.ref(model)


def handed_out_parameters() -> dict[str, Any] | None:
    """The parameters that NNI has handed to this trial with their number, or ``None``; NNI only shows their content."""
    return nni.trial._params


def replace_parameters(own: dict[str, Any]) -> None:
    """Let this trial report under the number of its ``own`` parameters."""
    nni.trial._params = own


def replace_trial_channel(send: Callable[..., None], receive: Callable[..., Any]) -> None:
    """Replace how a trial talks to the manager: NNI's way ends the trial at the first request that fails."""
    from nni.runtime.command_channel.http import HttpChannel

    HttpChannel.send = send
    HttpChannel.receive = receive


def become_trial() -> None:
    """Let NNI see in this process, a fork of one that is no trial, the trial that the environment says.

    NNI looks at the environment when it is imported.
    """
    from nni.runtime import env_vars, log

    variables = env_vars._load_env_vars(env_vars._trial_env_var_names)
    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").startswith("nni.") and hasattr(module, "trial_env_vars"):
            vars(module)["trial_env_vars"] = variables
    nni.trial._experiment_id = variables.NNI_EXP_ID
    nni.trial._trial_id = variables.NNI_TRIAL_JOB_ID
    nni.trial._sequence_id = int(variables.NNI_TRIAL_SEQ_ID or 0)
    log.silence_stdout()
    log._init_logger()


def replace_launcher(request: Callable[..., Any], check_rest_server: Callable[..., None]) -> None:
    """Replace how ``nnictl create`` talks to the manager that it starts, which NNI gives about four seconds."""
    from nni.experiment import launcher
    from nni.experiment import rest as nni_rest

    nni_rest.request = request
    launcher._check_rest_server = check_rest_server
