"""The recipe of a training, as settings: checked plain data, without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from nni_earlyexit.training.recipes import AUTO, RECIPES, values
from nni_earlyexit.utils.amounts import parse_duration
from nni_earlyexit.utils.checks import (
    Check,
    boolean,
    is_number,
    number,
    one_of,
    optional,
    positive,
    share,
    whole_number,
)
from nni_earlyexit.utils.options import check_options, option
from nni_earlyexit.utils.paths import expanded

MAX_THREADS = 1024
"""Most threads, far more than any machine makes use of; torch tries to start as many as it is told."""

WEIGHTINGS = ("constant", "linear", "cost")
REGIMES = ("joint", "mixed", "frozen")
ABOUT_SEVERAL_EXITS = ("regime", "exit_weights", "distillation", "gradient_equilibrium")
"""Options that are about exits which learn together."""
MIRRORS = ("none", "random", "alternating")
PRECISIONS = (AUTO, "float32", "bfloat16")
SCHEDULES = ("onecycle", "linear", "cosine", "constant")


def _parse_weight(text: str) -> float | str:
    return text if text in WEIGHTINGS else float(text)


def _are_weights(v: object) -> bool:
    if isinstance(v, str):
        return v in WEIGHTINGS
    if not isinstance(v, (tuple, list)) or not v:
        return False
    return (len(v) == 1 and v[0] in WEIGHTINGS) or all(is_number(w) and w >= 0 and w < float("inf") for w in v)


_EXIT_WEIGHTS = Check(f"{', '.join(WEIGHTINGS)} or numbers from 0, one per stage,", _are_weights, _parse_weight, "are")
_DURATION = positive("seconds", parse_duration)
_NAME = Check("a name", lambda v: isinstance(v, str))
_OF_RECIPE = "; the recipe's by default"


@dataclass(frozen=True)
class Recipe:
    """Recipe of a training; ``ValueError`` for values that cannot work."""

    recipe: str = option(
        AUTO,
        "named set of values for what is not given here; auto is fast for images from 16 pixels, words for sentences and "
        "plain for other inputs",
        one_of((AUTO, *RECIPES)),
    )
    epochs: int = option(12, "passes over the training split", whole_number(1))
    batch_size: int | None = option(None, f"inputs per step{_OF_RECIPE}", optional(whole_number(2)))
    optimizer: str | None = option(
        None,
        f"timm's name of an optimizer, such as sgd, adamw or lamb{_OF_RECIPE}",
        optional(Check("a name", lambda v: isinstance(v, str))),
    )
    learning_rate: float | None = option(
        None, f"peak of the learning rate{_OF_RECIPE}", optional(positive(parse=float))
    )
    weight_decay: float | None = option(None, f"weight decay{_OF_RECIPE}", optional(number(0)))
    schedule: str | None = option(
        None,
        f"course of the learning rate: onecycle (its momentum too), linear or cosine (up, then down), or constant{_OF_RECIPE}",
        optional(one_of(SCHEDULES)),
    )
    warmup: float | None = option(
        None, f"share of the steps in which the learning rate rises{_OF_RECIPE}", optional(share())
    )
    label_smoothing: float | None = option(
        None, f"share of the label spread over all classes{_OF_RECIPE}", optional(share())
    )
    clip_gradient: float | None = option(
        None, f"norm to clip gradients to, 0 for none{_OF_RECIPE}", optional(number(0))
    )
    averaging: float | None = option(
        None, f"decay of the moving average of the weights, 0 for none{_OF_RECIPE}", optional(share())
    )
    shift: float | None = option(
        None, f"largest random shift of an image as a share of its side{_OF_RECIPE}", optional(share())
    )
    mirror: str | None = option(
        None,
        f"left and right exchanged: none, random, or alternating each epoch{_OF_RECIPE}",
        optional(one_of(MIRRORS)),
    )
    randaugment: int | None = option(
        None, f"magnitude of RandAugment (Cubuk et al., 2020), 0 for none{_OF_RECIPE}", optional(whole_number(0, 30))
    )
    erasing: float | None = option(
        None, f"probability that a rectangle is erased (Zhong et al., 2020){_OF_RECIPE}", optional(share())
    )
    mixup: float | None = option(
        None, f"alpha of mixup (Zhang et al., 2018), 0 for none{_OF_RECIPE}", optional(number(0))
    )
    cutmix: float | None = option(
        None, f"alpha of cutmix (Yun et al., 2019), 0 for none{_OF_RECIPE}", optional(number(0))
    )
    word_dropout: float | None = option(
        None, f"share of a sentence's words that are hidden at each look{_OF_RECIPE}", optional(share())
    )
    precision: str | None = option(
        None,
        "numbers that are computed with: float32, bfloat16, or auto, which tries a few steps of both and takes bfloat16 where "
        f"it is faster{_OF_RECIPE}",
        optional(one_of(PRECISIONS)),
    )
    regime: str = option(
        "joint",
        "order of training: joint (all at once), mixed (the backbone for half of the epochs, then all; arXiv 2407.14320) or "
        "frozen (the backbone, then the exits on it; only the exits where a space keeps its backbone)",
        one_of(REGIMES),
    )
    exit_weights: str | tuple[float | str, ...] | None = option(
        None,
        "weight of each exit in the loss: constant, linear (growing with the exit), cost (as its MACs), or a number per stage "
        "of the space, the last one included; all equal by default",
        optional(_EXIT_WEIGHTS),
        many=True,
    )
    distillation: float = option(
        0.0,
        "share of the early exits' loss that is taken from the last exit's answer (Phuong and Lampert, 2019)",
        share(),
    )
    gradient_equilibrium: bool = option(
        False, "scale gradients between exits so that each stage gets as much of them (Li et al., 2019)", boolean()
    )
    class_weights: bool = option(False, "weight classes in the loss by how rare they are", boolean())
    patience: int | None = option(
        None,
        "epochs without a better validation result after which the training ends, in its last phase",
        optional(whole_number(1)),
    )
    time_limit: float | None = option(
        None,
        "seconds after which the training ends with what it has, such as 10m",
        optional(_DURATION),
    )
    bank: str | None = option(
        None,
        "folder of trained exit branches, for a space whose backbone is kept: a branch that is there is not trained again; "
        "docs/guides/exits.md",
        optional(_NAME),
    )
    views: int = option(
        1,
        "views of each training input whose stage outputs a bank keeps; more than one are augmented",
        whole_number(1, 64),
    )
    weights: str | None = option(
        None,
        "file of a supernet, made by 'nni-earlyexit supernet', whose weights networks take in place of a training; "
        "docs/guides/supernet.md",
        optional(_NAME),
    )
    finetune: bool = option(False, "train networks further after they have taken weights", boolean())
    tensorboard: bool = option(True, "write TensorBoard events to the folder of the trial", boolean())
    train: str | None = option(
        None,
        "function of your own that trains in place of ours, such as my.package.train; docs/guides/training.md",
        optional(_NAME),
    )
    seed: int = option(0, "fixes initial weights, order of batches and the splits", whole_number(0, 2**32 - 1))
    threads: int | None = option(
        None,
        "CPU threads of a trial; the cores divided by trialConcurrency by default",
        optional(whole_number(1, MAX_THREADS)),
    )

    def __post_init__(self) -> None:
        check_options(self)
        if self.finetune and self.weights is None:
            raise ValueError("finetune: it needs weights to begin with")
        if self.weights is not None and self.bank is not None:
            raise ValueError("weights: they cannot be taken from a supernet and from a bank at once")

    def with_whole_paths(self) -> Recipe:
        """The same with paths from ``/``, which mean the same files wherever they are read later."""
        return replace(self, bank=_whole(self.bank), weights=_whole(self.weights))

    def filled(self, input_shape: Sequence[int], *, sentences: bool = False) -> Recipe:
        """The same with the recipe's values, for inputs of this shape or for sentences, where none are given."""
        usual = values(self.recipe, input_shape, sentences=sentences)
        missing = {f.name: usual[f.name] for f in fields(self) if f.name in usual and getattr(self, f.name) is None}
        return replace(self, **missing)


def _whole(path: str | None) -> str | None:
    return None if path is None else str(expanded(path).resolve())
