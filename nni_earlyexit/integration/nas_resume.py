"""The trials of a ``NasExperiment`` that is resumed.

NNI's manager starts interrupted trials again by itself, but the resumed experiment has a new engine, which does not know their
models.
"""

from __future__ import annotations

import logging
from pathlib import Path

from nni.nas.execution import ExecutionEngine, Middleware, TrainingServiceExecutionEngine
from nni.nas.space import ExecutableModelSpace, ModelStatus
from nni.nas.strategy.middleware import MultipleEvaluation
from nni_earlyexit.evaluation import record
from nni_earlyexit.evaluation.trial_folders import trial_folder
from nni_earlyexit.integration import nni_private, rest
from nni_earlyexit.search.metrics import whole
from nni_earlyexit.search.session import Submitted

_logger = logging.getLogger(__name__)


def submitted(engine: ExecutionEngine) -> list[Submitted]:
    """The trials of an earlier run; none where there is no manager, or where a trial is only one of a model's replicas."""
    service = _innermost(engine)
    if service is None:
        return []
    experiment = service.nodejs_binding
    folder = Path(experiment.config.canonical_copy().experiment_working_directory, experiment.id)
    reported = experiment.get_job_metrics()
    trials = []
    for job in experiment.list_trial_jobs():
        finals = [metric.data for metric in reported.get(job.trialJobId, []) if metric.type == "FINAL"]
        parameters = job.hyperParameters[0]
        trials.append(
            Submitted(
                number=parameters.parameter_id,
                sample=dict(parameters.parameters["sample"]),
                metrics=whole(finals[-1]) if finals else None,
                ended=job.status in rest.ENDED_TRIAL,
                canceled=job.status in rest.CANCELED_TRIAL,
                damaged=record.is_damaged(trial_folder(folder, job.trialJobId)),
            )
        )
    return trials


def adopt(engine: ExecutionEngine, parameter_id: int, model: ExecutableModelSpace) -> None:
    """Let ``model`` get the events of a trial that the manager runs again. The engine holds it weakly."""
    service = _innermost(engine)
    model.status = ModelStatus.Training
    nni_private.adopt(service, parameter_id, model)


def _innermost(engine: ExecutionEngine) -> TrainingServiceExecutionEngine | None:
    while isinstance(engine, Middleware):
        if isinstance(engine, MultipleEvaluation):
            return None
        engine = engine.engine
    return engine if isinstance(engine, TrainingServiceExecutionEngine) else None
