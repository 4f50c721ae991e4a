"""What NNI's engine for training services lacks to resume a ``NasExperiment``.

NNI's manager starts interrupted trials again by itself. But the resumed experiment has a new engine, which does not know
their models; and the thread that listens to the manager dies of commands that only a resumed experiment gets.
"""

from __future__ import annotations

import logging
import weakref
from dataclasses import dataclass
from typing import Any

from nni.nas.execution import ExecutionEngine, Middleware, TrainingServiceExecutionEngine
from nni.nas.space import ExecutableModelSpace, ModelStatus
from nni.nas.strategy.middleware import MultipleEvaluation
from nni.runtime.tuner_command_channel import CommandType, TunerCommandChannel, TunerIncomingCommand
from nni_earlyexit.search.domain import Sample

_logger = logging.getLogger(__name__)


class _Nothing(TunerIncomingCommand):
    """A command that nobody waits for."""

    command_type = CommandType.Ping


_receive = TunerCommandChannel.receive


def _receive_any(self: TunerCommandChannel) -> TunerIncomingCommand:
    try:
        return _receive(self)
    except ValueError as error:
        if not str(error).startswith("Unknown command type"):
            raise
        _logger.debug("Passed over: %s", error)
        return _Nothing()


def listen_on() -> None:
    """Let every engine pass over the commands that it does not know."""
    TunerCommandChannel.receive = _receive_any


@dataclass(frozen=True)
class Submitted:
    """A trial that the manager knows.

    Attributes
    ----------
    parameter_id
        NNI's number of its model.
    sample
        What it was given.
    status
        NNI's. The manager runs again what has not ended.
    metrics
        Its final result, if it gave one.
    """

    parameter_id: int
    sample: Sample
    status: str
    metrics: Any


def submitted(engine: ExecutionEngine) -> list[Submitted]:
    """The trials of an earlier run; none where there is no manager, or where a trial is only one of a model's replicas."""
    found = _innermost(engine)
    if found is None:
        return []
    reported = found.nodejs_binding.get_job_metrics()
    trials = []
    for job in found.nodejs_binding.list_trial_jobs():
        finals = [metric.data for metric in reported.get(job.trialJobId, []) if metric.type == "FINAL"]
        parameters = job.hyperParameters[0]
        trials.append(
            Submitted(
                parameters.parameter_id,
                dict(parameters.parameters["sample"]),
                job.status,
                finals[-1] if finals else None,
            )
        )
    return trials


def adopt(engine: ExecutionEngine, parameter_id: int, model: ExecutableModelSpace) -> None:
    """Let ``model`` get the events of a trial that the manager runs again. The engine holds it weakly."""
    found = _innermost(engine)
    assert found is not None
    model.status = ModelStatus.Training
    found._models[parameter_id] = weakref.ref(model)


def _innermost(engine: ExecutionEngine) -> TrainingServiceExecutionEngine | None:
    while isinstance(engine, Middleware):
        if isinstance(engine, MultipleEvaluation):
            return None
        engine = engine.engine
    return engine if isinstance(engine, TrainingServiceExecutionEngine) else None
