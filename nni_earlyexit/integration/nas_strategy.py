"""NNI's ``Strategy`` around an ask/tell strategy, for ``NasExperiment``."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from nni.nas.execution import ExecutionEngine
from nni.nas.execution.event import FinalMetricEvent, IntermediateMetricEvent, ModelEventType, TrainingEndEvent
from nni.nas.space import ExecutableModelSpace, ModelStatus, RawFormatModelSpace
from nni.nas.strategy.base import Strategy
from nni_earlyexit.integration import engines, nas_resume, nni_private
from nni_earlyexit.integration.evaluator import EarlyExitEvaluator
from nni_earlyexit.search.ask_tell import AskTell, Exhausted
from nni_earlyexit.search.domain import key
from nni_earlyexit.search.metrics import whole
from nni_earlyexit.search.session import Session
from nni_earlyexit.search.successive_halving import SuccessiveHalving
from nni_earlyexit.space.base import EarlyExitSpace
from nni_earlyexit.space.search_domain import domain, plain_domain

_logger = logging.getLogger(__name__)


class SearchStrategy(Strategy):
    """Explore a space with an ask/tell strategy.

    Limits are those of the experiment's evaluator; in an early-exit space, a network that is known to miss them is not
    proposed. Any other space of NNI's is searched too, its networks having one exit. A free worker never waits for
    another one.

    Parameters
    ----------
    strategy
        Ask/tell strategy that proposes networks; see :mod:`nni_earlyexit.strategies`.
    halving
        Rule for which networks go on training; all do by default. A stopped one counts with what it gave after its last epoch.

    A resumed experiment goes on where it was. Networks that were interrupted are tried again.
    """

    def __init__(self, strategy: AskTell, halving: SuccessiveHalving | None = None) -> None:
        super().__init__()
        self.strategy = strategy
        self.halving = halving
        self._lock = threading.Lock()  # results arrive on the engine's thread
        # models are what it knows trials by; the engine holds them weakly
        self.session = Session(strategy)
        self._stopped: dict[ExecutableModelSpace, Mapping[str, Any]] = {}
        self._finished: dict[str, tuple[ExecutableModelSpace, dict[str, Any]]] = {}
        nni_private.pass_over_unknown_commands()

    def extra_repr(self) -> str:
        """Name and objectives of the ask/tell strategy."""
        return f"{type(self.strategy).__module__.rpartition('.')[2]}, objectives={self.strategy.objectives}"

    def _initialize(self, model_space: ExecutableModelSpace, engine: ExecutionEngine) -> ExecutableModelSpace:
        evaluator = model_space.evaluator
        if not isinstance(evaluator, EarlyExitEvaluator):
            raise TypeError(f"evaluator: {type(evaluator).__name__} is not possible; EarlyExitEvaluator is")
        evaluator.settings.limits.check_latency_is_known(self.strategy.objectives)
        space = (
            model_space.model_space
            if isinstance(model_space, RawFormatModelSpace)
            else model_space.model.trace_copy().get(traceable=False)  # type: ignore[attr-defined]
        )
        if isinstance(space, EarlyExitSpace):
            self.strategy.start(domain(space, evaluator.settings.limits, evaluator.latencies(space)))
        else:
            _logger.warning("%s has no early exits: each of its networks has its last exit only", type(space).__name__)
            self.strategy.start(plain_domain(space))
        if self.halving is not None:
            self.halving.check(evaluator.settings.training.epochs, evaluator.settings.limits.latency_table is not None)
            engines.check_can_stop(engine)
            self.halving.start()
            engine.register_model_event_callback(ModelEventType.IntermediateMetric, self._on_report)
        engine.register_model_event_callback(ModelEventType.FinalMetric, self._on_metric)
        engine.register_model_event_callback(ModelEventType.TrainingEnd, self._on_end)
        return model_space

    def _cleanup(self) -> None:
        if self.halving is not None:
            self.engine.unregister_model_event_callback(ModelEventType.IntermediateMetric, self._on_report)
        self.engine.unregister_model_event_callback(ModelEventType.FinalMetric, self._on_metric)
        self.engine.unregister_model_event_callback(ModelEventType.TrainingEnd, self._on_end)

    def _run(self) -> None:
        while self.engine.budget_available():
            if not self.engine.idle_worker_available():
                time.sleep(0.2)
                continue
            with self._lock:
                try:
                    sample = self.session.ask()
                except Exhausted as reason:
                    _logger.warning("No more networks: %s", reason)
                    break
                model = self.model_space.freeze(sample)
                self.session.start(model, sample)
            self.engine.submit_models(model)
        self.engine.wait_models()

    def _on_report(self, event: IntermediateMetricEvent) -> None:
        with self._lock:
            metrics, sample = whole(event.metric), self.session.running.get(event.model)
            if self.halving is None or sample is None or not isinstance(metrics, Mapping) or "epochs" not in metrics:
                return
            if self.halving.report(key(sample), metrics["epochs"], metrics):
                return
            if event.model not in self._stopped:
                try:
                    engines.stop(self.engine, event.model)
                except Exception:  # it trains on; an error here would end the engine's only thread
                    _logger.exception("A network could not be stopped")
            self._stopped[event.model] = metrics

    def _on_metric(self, event: FinalMetricEvent) -> None:
        with self._lock:
            self._take(event.model, whole(event.metric))

    def _take(self, model: ExecutableModelSpace, metrics: Any) -> None:
        """Tell the final result of ``model``. If that is not possible, it counts as failed when its training ends."""
        if self.session.tell(model, metrics):
            self._finished[key(metrics["sample"])] = (model, dict(metrics))

    def _on_end(self, event: TrainingEndEvent) -> None:
        if event.status == ModelStatus.Interrupted:
            return  # it is still pending, and tried again when the experiment resumes
        with self._lock:
            # what a stopped one gave was measured: a lower bound on the accuracy that it can have, and no failure
            self.session.end(event.model, self._stopped.pop(event.model, None))

    def list_models(self, sort: bool = True, limit: int | None = None) -> Iterator[ExecutableModelSpace]:
        """The models found: with ``sort``, those of the Pareto front, largest ``default`` metric first."""
        if not sort:
            yield from super().list_models(sort, limit)
            return
        best = [
            self._finished[key(trial.sample)] for trial in self.strategy.front() if key(trial.sample) in self._finished
        ]
        best.sort(key=lambda finished: finished[1]["default"], reverse=True)
        yield from (model for model, _ in best[:limit])

    def state_dict(self) -> dict[str, Any]:
        """State of the strategy and the halving, with all final results, as plain JSON."""
        with self._lock:
            state = {
                "strategy": self.strategy.state_dict(),
                "results": [metrics for _, metrics in self._finished.values()],
                "halving": None if self.halving is None else self.halving.state_dict(),
            }
            # NNI's labels are more than strings, and torch does not load them from the checkpoint
            return json.loads(json.dumps(state))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state, and from what NNI knows of trials since."""
        with self._lock:
            self.strategy.load_state_dict(state_dict["strategy"])
            if self.halving is not None and state_dict.get("halving") is not None:
                self.halving.load_state_dict(state_dict["halving"])
            for metrics in state_dict["results"]:
                self._finished[key(metrics["sample"])] = (self._trained(metrics), metrics)
            self._settle()

    def _trained(self, metrics: Mapping[str, Any]) -> ExecutableModelSpace:
        """The model that gave ``metrics`` in an earlier run."""
        model = self.model_space.freeze(dict(metrics["sample"]))
        model.status = ModelStatus.Trained
        model.metrics.final = metrics  # type: ignore[assignment]
        return model

    def _settle(self) -> None:
        """Take in after a resume what NNI knows and the state does not, as it is only saved at the start and at the end."""
        settled = self.session.settle(nas_resume.submitted(self.engine))
        for trial in settled.taken:
            self._finished[key(trial.metrics["sample"])] = (self._trained(trial.metrics), trial.metrics)
        for trial in settled.running:
            model = self.model_space.freeze(trial.sample)
            nas_resume.adopt(self.engine, trial.number, model)
            self.session.start(model, trial.sample)
