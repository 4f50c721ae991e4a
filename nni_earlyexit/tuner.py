"""NNI's tuner around an ask/tell strategy, for ``nnictl``.

NNI gives a tuner 10 seconds to connect, so the constructor only checks its arguments; torch and the space come with the
first message.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from nni import ClassArgsValidator
from nni.tuner import Tuner
from nni_earlyexit.ask_tell import Exhausted, Sample
from nni_earlyexit.trial import check_identity, split_parameters
from nni_earlyexit.tuner_arguments import TunerArguments

_logger = logging.getLogger(__name__)

Method = TypeVar("Method", bound=Callable[..., Any])


class EarlyExitClassArgsValidator(ClassArgsValidator):
    """What NNI's legacy path calls before a start; today's ``nnictl create`` does not."""

    def validate_class_args(self, **kwargs: Any) -> None:
        TunerArguments.parse(kwargs)


def _visible_failure(method: Method) -> Method:
    """End the tuner's process when ``method`` raises.

    NNI would go on without trials for ever and show no error. A tuner that is gone makes the experiment's status ERROR,
    and the reason stands in ``dispatcher.log``.
    """

    @functools.wraps(method)
    def run(self: EarlyExitTuner, *args: Any, **kwargs: Any) -> Any:
        try:
            with self._lock:
                return method(self, *args, **kwargs)
        except Exception as error:
            _logger.exception("EarlyExit tuner stopped: %s", error)
            logging.shutdown()
            os._exit(1)

    return run  # type: ignore[return-value]


class EarlyExitTuner(Tuner):
    """Multi-objective search over an early-exit space. The arguments are those of :class:`TunerArguments`."""

    def __init__(self, **class_args: Any) -> None:
        self.arguments = TunerArguments.parse(class_args)
        self.strategy = self.arguments.create_strategy()
        self._lock = threading.RLock()  # NNI reports the end of trials on another thread
        self._running: dict[int, Sample] = {}

    @_visible_failure
    def update_search_space(self, search_space: Mapping[str, Any]) -> None:
        from nni_earlyexit import search_spaces
        from nni_earlyexit.domains import domain

        space = search_spaces.create(self.arguments.space)
        check_search_space(search_space, space.search_space(), space.identity())
        self.identity = space.identity()
        latencies = None
        if self.arguments.latency_table is not None:
            from nni_earlyexit.latency import LatencyTable

            latencies = LatencyTable.load(Path(self.arguments.latency_table), space).predictor(space)
        self.strategy.start(domain(space, self.arguments.goal, latencies))

    @_visible_failure
    def generate_multiple_parameters(self, parameter_id_list: list[int], **kwargs: Any) -> list[dict[str, Any]]:
        generated = []
        for parameter_id in parameter_id_list:
            try:
                sample = self.strategy.ask()
            except Exhausted as reason:
                _logger.warning("No more trials: %s", reason)
                break
            self._running[parameter_id] = sample
            generated.append({"space": self.identity, **sample})
        return generated

    @_visible_failure
    def receive_trial_result(self, parameter_id: int, parameters: Any, value: Any, **kwargs: Any) -> None:
        self._running.pop(parameter_id, None)
        self._tell(parameters, value)

    @_visible_failure
    def trial_end(self, parameter_id: int, success: bool, **kwargs: Any) -> None:
        sample = self._running.pop(parameter_id, None)
        if sample is not None:
            # it ended without a result
            self.strategy.tell(sample, None)

    @_visible_failure
    def import_data(self, data: list[dict[str, Any]]) -> None:
        for entry in data:
            self._tell(entry["parameter"], entry["value"])
        self.strategy.go_on()

    def _tell(self, parameters: Any, value: Any) -> None:
        """Trust the sample that the trial says it ran; fall back on the one that NNI says it was given."""
        if isinstance(value, Mapping) and isinstance(value.get("sample"), Mapping):
            self.strategy.tell(value["sample"], value)
        else:
            _logger.error(
                "A trial of %s reported %r, which lacks the metrics of nni_earlyexit.trial", parameters, value
            )
            self.strategy.tell(split_parameters(parameters)[1], None)


def check_search_space(found: Mapping[str, Any], expected: Mapping[str, Any], identity: str) -> None:
    """``ValueError`` that names the first difference between an experiment's search space and the installed space's."""
    entry = found.get("space")
    values = entry.get("_value") if isinstance(entry, Mapping) else None
    if not isinstance(values, list) or len(values) != 1:
        raise ValueError(
            "searchSpaceFile: it does not say which space it belongs to; write it with 'nni-earlyexit space NAME'"
        )
    check_identity(values[0], identity)
    for label in [*expected, *found]:
        if found.get(label) != expected.get(label):
            raise ValueError(
                f"searchSpaceFile: {label!r} is {found.get(label)}, but {expected.get(label)} in space {identity}; "
                f"write the file again with 'nni-earlyexit space {identity.split('/')[0]}'"
            )
