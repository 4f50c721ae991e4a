"""From a trained network of a search to a bundle: cutoffs fitted, exits that do not pay dropped, judged on test data once."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from nni_earlyexit.data.settings import DataSettings
from nni_earlyexit.data.splits import Split
from nni_earlyexit.deploy.bundle import Extra, check_place, save_bundle
from nni_earlyexit.deploy.onnx_files import export_onnx
from nni_earlyexit.deploy.portable import portable, write_backbone
from nni_earlyexit.deploy.quantise import quantise_segments
from nni_earlyexit.deploy.segments import TorchSegments
from nni_earlyexit.evaluation import record
from nni_earlyexit.evaluation.metrics import FittedCutoffs, fit_cutoffs, guaranteeing
from nni_earlyexit.evaluation.network_front import accuracy_interval
from nni_earlyexit.evaluation.record import Record
from nni_earlyexit.nn.network import EarlyExitNetwork
from nni_earlyexit.runtime.bundle import FLOAT32, INT8, Architecture, Bundle, Fitted, PolicyFamily
from nni_earlyexit.runtime.onnx_predictor import OnnxSegments
from nni_earlyexit.runtime.routing import Segments, every_logits
from nni_earlyexit.search.costs import ExitCosts
from nni_earlyexit.space.base import EarlyExitSpace
from nni_earlyexit.thresholds.guarantee import Guarantee
from nni_earlyexit.thresholds.policy import ExitPolicy
from nni_earlyexit.thresholds.policy_front import TradeOff
from nni_earlyexit.training.settings import Settings
from nni_earlyexit.utils.files import read_arrays
from nni_earlyexit.utils.progress import Say
from numpy.typing import NDArray

FRONT_POINTS = 500
"""Most policies of the trade-off that a bundle keeps; those that stand for the least of it are left out."""
RANGE_INPUTS = 512
"""Training inputs that ranges of activations are taken from."""


BATCH = 256


@dataclass(frozen=True)
class _Split:
    """A split of the data."""

    split: Split

    @property
    def y(self) -> NDArray[np.integer]:
        """Its classes (inputs,)."""
        classes: NDArray[np.integer] = self.split.y.numpy()
        return classes

    def logits(self, segments: Segments[Any]) -> NDArray[np.float32]:
        """Logits (inputs, exits, classes) of ``segments``; some inputs at a time, for all may be too large."""
        starts = range(0, len(self.split), BATCH)
        places = (np.arange(start, min(start + BATCH, len(self.split))) for start in starts)
        return np.concatenate([every_logits(segments, _unnormalised(self.split.raw(some))) for some in places])


def export(
    trial: Record,
    folder: Path,
    settings: Settings | None = None,
    *,
    guarantee: Guarantee | None = None,
    keep_exits: bool = False,
    onnx: bool = False,
    int8: bool = False,
    say: Say = lambda line: None,
) -> Bundle:
    """Write the network of ``trial`` to ``folder`` as a bundle.

    Parameters
    ----------
    trial
        A finished trial.
    folder
        A folder that is new, empty or a bundle.
    settings
        Goal and limits by which cutoffs are fitted to the calibration split; those of the trial by default.
    guarantee
        Lets only policies be chosen whose true drop is limited, with a probability. One part of the calibration split proposes
        them, they are tested on the other. Every exit is kept, for the last one is what they are compared with.
    keep_exits
        ``True`` keeps every exit. By default those that the policy drops are left out, and so is all that follows the last exit
        at which a calibration input leaves.
    onnx, int8
        ``True`` writes the files for onnxruntime too, and quantised ones with cutoffs of their own.
    say
        Hears of the progress.

    Raises
    ------
    ValueError
        For a trial that was not trained or does not say how inputs are prepared, and a folder that holds something else.
    """
    folder = check_place(folder)
    settings = settings or trial.settings
    whole = record.load_network(trial.folder)
    stored = read_arrays(trial.file(record.OUTPUTS), "trial")
    logits, labels = stored["calibration_logits"], stored["calibration_labels"]
    costs = trial.costs(whole.exit_costs, whole.branch_costs)
    chosen = fit_cutoffs(settings, logits, labels, costs)
    policy = chosen.policy
    every = keep_exits or guarantee is not None
    kept = tuple(range(len(policy.cutoffs))) if every else policy.in_use(logits)
    network = whole.keep(kept).eval()
    say(_what_is_kept(kept, whole))

    from nni_earlyexit import data, search_spaces

    task = data.load_settings(settings.data.for_shape(whole.input_shape), settings.training.seed)
    task = task.for_network(whole)
    data.check_fits(task, whole)
    splits = {name: _Split(getattr(task, name)) for name in ("calibration", "test")}
    if not np.array_equal(labels, splits["calibration"].y):
        raise ValueError(
            f"data: {task.name!r} is not as it was when the network was trained; its calibration split is another one"
        )
    about = {
        "data": _public(task.name),
        "split": "calibration",
        "seed": settings.training.seed,
        "goal": _goal(settings),
    }
    own = _costs_of_kept(trial, network, kept)
    say(f"judges it on {len(splits['test'].y):,} test inputs")
    device = next(network.parameters()).device
    segments = TorchSegments(network, device)
    outputs = {name: split.logits(segments) for name, split in splits.items()}
    if guarantee is not None:
        chosen = _certified(settings, outputs["calibration"], labels, own, guarantee, say)
    policy = chosen.policy if guarantee is not None else _cut(policy, kept)
    if missed := _missed(settings, chosen.chosen):
        say(missed)
    fits = {FLOAT32: _fitted(policy, settings, outputs, splits, own, about, guarantee)}
    space = search_spaces.restore(str(trial.space))
    architecture = _architecture(trial, space, network, kept)

    def add_onnx(part: Path) -> list[str]:
        say("writes it for onnxruntime")
        return export_onnx(network, policy, part)

    def add_int8(part: Path) -> list[str]:
        say("quantises it")
        names = quantise_segments(part, len(kept), _ranges(task))
        small = OnnxSegments([part / name for name in names])
        quantised = {name: split.logits(small) for name, split in splits.items()}
        again = _certified(settings, quantised["calibration"], labels, own, guarantee, say).policy
        fits[INT8] = _fitted(again, settings, quantised, splits, own, about, guarantee)
        return names

    extras: list[Extra] = [
        partial(write_backbone, space),
        *([add_onnx] if onnx or int8 else []),
        *([add_int8] if int8 else []),
    ]
    return save_bundle(network, architecture, fits, folder, extras=tuple(extras))


def test_data(bundle: Bundle, settings: DataSettings, count: int) -> tuple[NDArray[Any], NDArray[np.integer]]:
    """So many test inputs of a bundle's data set, evenly from all, as its first segment takes them, and their classes.

    Raises ``ValueError`` for data of other classes or inputs than the network's, words with other numbers, and for another test
    split of the data that the network learned from.
    """
    from nni_earlyexit import data

    own, fit = bundle.architecture, bundle.fit()
    task = data.load_settings(settings.for_shape(own.input_shape), int(fit.fitted_to["seed"]))
    data.check_fits(task, own)
    again = "give the options of data and splits that the network was trained with"
    if list(task.preprocessing.vocabulary or ()) != list(own.preprocessing.get("vocabulary") or ()):
        raise ValueError(f"data: the words of {task.name!r} have other numbers than those of the network; {again}")
    if _public(task.name) == fit.fitted_to.get("data") and len(task.test) != fit.test["inputs"]:
        raise ValueError(
            f"data: the test split of {task.name!r} has {len(task.test):,} inputs, and the one that judged the network "
            f"{fit.test['inputs']:,}; {again}"
        )
    places = np.linspace(0, len(task.test) - 1, min(count, len(task.test))).astype(np.int64)
    return _unnormalised(task.test.raw(places)), task.test.y.numpy()[places]


def _certified(
    settings: Settings,
    logits: NDArray[np.floating],
    y: NDArray[np.integer],
    costs: ExitCosts,
    guarantee: Guarantee | None,
    say: Say,
) -> FittedCutoffs:
    """Cutoffs that keep the guarantee, if there is one; ``say`` hears where nothing is certified."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        fitted = fit_cutoffs(settings, logits, y, costs, guarantee)
    for warning in warned:
        say(f"concern: {warning.message}")
    return fitted


def _what_is_kept(kept: Sequence[int], whole: EarlyExitNetwork) -> str:
    """A sentence on the exits that are kept of ``whole``, and on what goes."""
    exits = len(whole.exit_stages)
    behind = exits - 1 - kept[-1]
    if len(kept) == 1 < exits:
        rest = "and the rest of it is left out" if behind else "and the other exits are left out"
        return f"every input leaves at exit {kept[0]}: this is a small static network, {rest}"
    sentence = f"keeps {len(kept)} of {exits} exits: {', '.join(map(str, kept))}"
    return sentence + (f"; nothing arrives behind exit {kept[-1]}, so the network ends there" if behind else "")


def _cut(policy: ExitPolicy, kept: Sequence[int]) -> ExitPolicy:
    """``policy`` for the network of the ``kept`` exits, the last of which takes the rest."""
    cutoffs = [policy.cutoffs[exit] for exit in kept]
    return replace(
        policy,
        cutoffs=(*cutoffs[:-1], -np.inf),
        temperatures=None if policy.temperatures is None else tuple(policy.temperatures[exit] for exit in kept),
        models=None if policy.models is None else (*(policy.models[exit] for exit in kept[:-1]), None),
    )


def _missed(settings: Settings, chosen: TradeOff) -> str:
    """A sentence where the chosen policy misses what was asked for, on calibration data; nothing where it does not."""
    point = settings.operating_point
    if point.max_cost is not None and chosen.avg_cost > point.max_cost * (1 + 1e-12):
        return (
            f"avg_macs: no policy keeps {point.max_cost:,.0f} on calibration data; this one has {chosen.avg_cost:,.0f}"
        )
    if point.min_accuracy is not None and chosen.accuracy < point.min_accuracy - 1e-9:
        return (
            f"accuracy: no policy has {point.min_accuracy:.2%} on calibration data; this one has {chosen.accuracy:.2%}"
        )
    return ""


def _costs_of_kept(trial: Record, network: EarlyExitNetwork, kept: Sequence[int]) -> ExitCosts:
    """The costs of ``network``, which is that of ``trial`` with the exits ``kept`` only."""
    costs = ExitCosts(network.exit_costs, branch_macs=network.branch_costs)
    if trial.exit_latency_s is None:
        return costs
    until, branches = np.array(trial.exit_latency_s), np.zeros(len(trial.exit_latency_s))
    if trial.branch_latency_s is not None:
        branches[:] = trial.branch_latency_s
    saved = np.where(np.isin(np.arange(len(until)), kept), 0, branches).cumsum()
    return replace(
        costs,
        latency_s=(until - saved)[list(kept)].tolist(),
        branch_latency_s=branches[list(kept)].tolist(),
    )


def _public(name: str) -> str:
    """The name of a data set without the folders that it lies in, for a bundle may be published."""
    kind, colon, path = name.partition(":")
    return f"{kind}:{Path(path).name}" if colon else name


def _ranges(task: Any) -> NDArray[Any]:
    """Some training inputs, evenly from all of them."""
    places = np.linspace(0, len(task.train) - 1, min(RANGE_INPUTS, len(task.train))).astype(np.int64)
    return _unnormalised(task.train.raw(places))


def _unnormalised(x: Any) -> NDArray[Any]:
    import torch

    if x.dtype == torch.uint8 and x.ndim == 4:
        return (x.float() / 255).numpy()
    return (x.float() if x.is_floating_point() else x.long()).numpy()


def _goal(settings: Settings) -> str:
    """The goal and the limit on average MACs, in words."""
    point = settings.operating_point
    words = [f"{name} {getattr(point, name):g}" for name in point.named()]
    if point.max_cost is not None:
        words.append(f"at most {point.max_cost:,.0f} average MACs")
    if settings.limits.max_latency_s is not None:
        words.append(f"at most {settings.limits.max_latency_s:g} s on average")
    return ", ".join(words)


def _fitted(
    policy: ExitPolicy,
    settings: Settings,
    outputs: dict[str, NDArray[np.float32]],
    splits: dict[str, _Split],
    costs: ExitCosts,
    about: dict[str, Any],
    guarantee: Guarantee | None,
) -> Fitted:
    """Every policy along the trade-off on calibration data, and the judgement of ``policy`` by test data."""
    labels = splits["calibration"].y
    goal = settings.goal if guarantee is None else guaranteeing(settings.goal)
    optimizer = goal.optimizer(None).set_params(guarantee=guarantee)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it was said when the policy was chosen
        optimizer.fit_closest(outputs["calibration"], labels, costs.macs, branch_costs=costs.branch_macs)
    front = optimizer.front_.thinned(FRONT_POINTS)
    policies = [optimizer.policy_of(point) for point in front]
    family = PolicyFamily(
        front,
        policy.confidence,
        optimizer.policy_.temperatures,
        {own.kept: own.models for own in policies if own.models is not None},
        float(optimizer.single_exit_accuracies_[-1]),
        optimizer.judge(outputs["test"], splits["test"].y, points=list(front)).shares,
    )
    logits, y = outputs["test"], splits["test"].y
    exits = policy.exits(logits)
    right = logits[np.arange(len(y)), exits].argmax(axis=-1) == y
    spent = np.asarray(policy.costs_without_dropped(costs.macs, costs.branch_macs or [0] * len(costs.macs)))
    test = {
        "inputs": len(y),
        "accuracy": float(right.mean()),
        "interval": list(accuracy_interval(right)),
        "guess": float(np.bincount(y).max() / len(y)),
        "avg_macs": float(spent[exits].mean()),
        "shares": (np.bincount(exits, minlength=len(spent)) / len(exits)).tolist(),
        "exit_accuracies": (logits.argmax(axis=-1) == y[:, None]).mean(axis=0).tolist(),
    }
    promise = None
    if guarantee is not None and optimizer.certificate_ is not None:
        certificate = optimizer.certificate_
        promise = {**asdict(guarantee), "inputs": certificate.inputs, "certified": certificate.certified}
    return Fitted(policy, family, {**about, "inputs": len(labels)}, test, promise)


def _architecture(trial: Record, space: EarlyExitSpace, network: EarlyExitNetwork, kept: Sequence[int]) -> Architecture:
    if network.preprocessing is None:
        raise AssertionError("a network that was loaded has one")
    return Architecture(
        space=portable(space),
        sample=trial.sample,
        kept=tuple(kept),
        description=space.describe(trial.sample),
        input_shape=network.input_shape,
        num_classes=network.num_classes,
        class_names=network.class_names,
        preprocessing=network.preprocessing.to_dict(),
        exit_costs=tuple(network.exit_costs),
        branch_costs=tuple(network.branch_costs),
        params=sum(parameter.numel() for parameter in network.parameters()),
    )
