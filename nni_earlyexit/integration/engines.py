"""Stopping a model that trains in one of NNI's execution engines. The engines themselves cannot."""

from __future__ import annotations

from nni.nas.execution import ExecutionEngine, Middleware, SequentialExecutionEngine, TrainingServiceExecutionEngine
from nni.nas.space import ExecutableModelSpace
from nni.nas.strategy.middleware import Deduplication, Filter
from nni_earlyexit.integration import nni_private
from nni_earlyexit.integration.evaluator import EarlyExitEvaluator


def check_can_stop(engine: ExecutionEngine) -> None:
    """Raise ``ValueError`` unless :func:`stop` works in ``engine``.

    Other middleware runs copies of a model, which would train on, or tries again what was stopped.
    """
    while isinstance(engine, Middleware):
        if not isinstance(engine, (Filter, Deduplication)):
            raise ValueError(
                f"halving: {type(engine).__name__} is not possible together with it; Filter and Deduplication are"
            )
        engine = engine.engine
    if not isinstance(engine, (SequentialExecutionEngine, TrainingServiceExecutionEngine)):
        raise ValueError(
            f"halving: {type(engine).__name__} cannot stop a network; "
            "SequentialExecutionEngine and TrainingServiceExecutionEngine can"
        )


def stop(engine: ExecutionEngine, model: ExecutableModelSpace) -> None:
    """Stop ``model``, whose intermediate result is just being handled.

    In this process it ends after the epoch that it reported, with a final result. A trial of a training service is ended
    as NNI's dispatcher does it for an assessor, and gives no final result.
    """
    while isinstance(engine, Middleware):
        engine = engine.engine
    if isinstance(engine, TrainingServiceExecutionEngine):
        nni_private.kill_trial(engine, model)
    elif isinstance(model.evaluator, EarlyExitEvaluator):
        model.evaluator.end_training()
