"""The schema of the metrics that a trial reports: every key, its unit, and the time at which it is there.

The keys are the same for every network of a space. NNI is told few of them as numbers of their own, because its web UI draws
an axis and offers a chart for each (:func:`flat`); whoever reads from NNI puts them together again (:func:`whole`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from nni_earlyexit.utils.checks import is_number

ALWAYS, FINAL, WITH_LATENCY, WITH_BANK = "always", "at the end", "with a latency table", "with a bank of branches"
"""Times at which a metric is there; those at the end make a result final."""


class Metric(NamedTuple):
    """One metric.

    Attributes
    ----------
    meaning
        Its meaning, in a few words.
    unit
        The unit of its value.
    when
        ``ALWAYS``, only ``FINAL``, only ``WITH_LATENCY`` or only ``WITH_BANK``.
    direction
        The direction in which it is usually optimised, where it can be an objective.
    """

    meaning: str
    unit: str = ""
    when: str = ALWAYS
    direction: Literal["max", "min"] | None = None


SAMPLE, FRONT = "sample", "front"
DETAILS = "details"
"""The one key under which NNI gets everything that its web UI shall not show."""
SHOWN = ("default", "accuracy", "avg_macs", "full_macs", "params", "latency_s")
"""Metrics that NNI's web UI shows of a final result; of one after an epoch, it shows ``default`` and each exit's accuracy."""

METRICS: Mapping[str, Metric] = {
    "default": Metric("one number for NNI's own tuners, assessors and charts; larger is better"),
    "accuracy": Metric("validation accuracy of the reported point", "fraction", direction="max"),
    "avg_macs": Metric("average MACs of an input at the reported point", "MACs", direction="min"),
    "full_macs": Metric("MACs to leave at the last exit", "MACs", direction="min"),
    "params": Metric("parameters", "parameters", direction="min"),
    "activation_bytes": Metric("most bytes of activations alive at once", "bytes", direction="min"),
    "latency_s": Metric("average seconds of an input at the reported point", "seconds", WITH_LATENCY, "min"),
    "full_latency_s": Metric("seconds to leave at the last exit", "seconds", WITH_LATENCY),
    "feasible": Metric("1 within the limits, else 0"),
    "excess": Metric("sum of the shares by which limits are known to be exceeded"),
    "epochs": Metric("epochs of training so far", "epochs"),
    SAMPLE: Metric("the sample that was run, in canonical form"),
    FRONT: Metric("accuracy, avg_macs and latency_s along the trade-off, a list for each", when=FINAL),
    "optimism": Metric("accuracy that the cutoffs promise too much, cross-validated", "fraction", FINAL),
    "concerns": Metric("number of reasons not to trust the cutoffs", when=FINAL),
    "new_branches": Metric(
        "exit branches that were trained for it, because the bank did not have them", when=WITH_BANK
    ),
    "train_seconds": Metric("seconds of the trial's training and judging", "seconds", FINAL),
}
"""Every metric of a network but those of its exits."""

EXIT_METRICS: Mapping[str, Metric] = {
    "accuracy": Metric("validation accuracy of the exit alone; 0 where there is none", "fraction"),
    "share": Metric("share of inputs that leave there", "fraction"),
    "cutoff": Metric("confidence from which inputs leave; None for an absent or dropped exit and the last one"),
}
"""Metrics of the exit after each stage."""


def exit_metric(stage: int, name: str) -> str:
    """The key of a metric of the exit after ``stage``."""
    if name not in EXIT_METRICS:
        raise KeyError(name)
    return f"exit{stage}_{name}"


def is_final(metrics: object) -> bool:
    """``True`` for a result that a trial reports at its end, ``False`` for one after an epoch and for what is none."""
    return isinstance(metrics, Mapping) and FRONT in metrics


def flat(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """``metrics`` in the form in which NNI gets them: those that its web UI shows, and all others under ``DETAILS``."""
    final = is_final(metrics)
    shown = {name: value for name, value in metrics.items() if _is_shown(name, final)}
    return {**shown, DETAILS: {name: value for name, value in metrics.items() if name not in shown}}


def whole(reported: Any) -> Any:
    """All metrics of what :func:`flat` gave; anything else, such as a result of an older version, as it is."""
    if not isinstance(reported, Mapping) or not isinstance(reported.get(DETAILS), Mapping):
        return reported
    return {**{name: value for name, value in reported.items() if name != DETAILS}, **reported[DETAILS]}


def comparable(reported: Any) -> Mapping[str, Any]:
    """The metrics of a result, which counts as within the limits only if all that results are compared by are numbers.

    Costs are positive ones. A trial of other people's may report a number alone.
    """
    if not isinstance(reported, Mapping):
        return {"default": reported}
    front = reported.get(FRONT) or {}
    if "full_macs" not in reported:
        reported = {**reported, "full_macs": reported.get("avg_macs")}
    points = [front.get(name, []) for name in ("accuracy", "avg_macs")] if isinstance(front, Mapping) else [None, None]
    accuracies, costs = (list(each) if isinstance(each, Sequence) else [None] for each in points)
    same = len(accuracies) == len(costs)
    costs += [reported.get("avg_macs"), reported.get("full_macs")]
    values = [reported.get("default"), reported.get("accuracy"), *accuracies, *costs]
    sound = same and all(is_number(value) and math.isfinite(value) for value in values) and min(costs) > 0
    return reported if sound else {**reported, "feasible": 0}


def _is_shown(name: str, final: bool) -> bool:
    return name in SHOWN if final else name == "default" or re.fullmatch(r"exit\d+_accuracy", name) is not None
