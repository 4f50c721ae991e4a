"""Any model as a backbone: made by a function, filled with weights, cut at named modules or where its resolution changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from nni_earlyexit.nn.classifier import classifier_name, fill_but_classifier
from nni_earlyexit.nn.cutting import StagedModel, check_runs, cut
from nni_earlyexit.nn.inference import probing
from nni_earlyexit.nn.natural_stages import natural_stages
from nni_earlyexit.nn.weights import fill, read_weights
from nni_earlyexit.utils.checks import unknown
from torch import Tensor, nn


def names(exits: object) -> tuple[str, ...]:
    """``exits``, one name or several, as names; numbers are those of the modules of an ``nn.Sequential``."""
    several = exits if isinstance(exits, (tuple, list)) else (exits,)
    return tuple(str(name) for name in several)


class TakenModel(NamedTuple):
    """A model taken apart; ``learning`` names the classifier if it did not come with the weights."""

    staged: StagedModel
    learning: tuple[str, ...]


def take(
    build: Callable[[int | None], nn.Module],
    name: str,
    input_shape: tuple[int, ...],
    *,
    num_classes: int | None,
    is_new: bool,
    weights: str,
    exits: Sequence[str],
) -> TakenModel:
    """The model that ``build`` makes for a number of classes, cut after the modules called ``exits`` or into natural stages.

    ``num_classes`` is by default that of the file ``weights``, or without one the model's own (``None``). Random weights are
    always the same. ``is_new`` says that, without a file, the classifier has been made for ``num_classes``. ``name`` stands in
    errors.

    Raises ``ValueError`` when it is no model of images of this shape with ``num_classes``, cannot be cut there, or the file
    ``weights`` does not fit all but its classifier.
    """
    state = read_weights(weights) if weights else {}
    x = torch.zeros(1, *input_shape)
    model = _made(build, num_classes, x, name)
    classifier = classifier_name(model, x)
    stored = state.get(f"{classifier}.weight")
    if num_classes is None and stored is not None and stored.shape != model.state_dict()[f"{classifier}.weight"].shape:
        model = _made(build, len(stored), x, name)
    is_given = not is_new
    if state and num_classes is None:
        fill(model, state, weights)
    elif state:
        is_given = fill_but_classifier(model, state, classifier, weights)
    for module in exits:
        if module not in dict(model.named_modules()) or not module:
            raise unknown("exits", module, [key for key, _ in model.named_modules() if key])
    modules = ["", *exits] if exits else natural_stages(model, input_shape, name)
    staged = cut(model, modules, input_shape, name, headless=bool(exits))
    if num_classes not in (None, staged.num_classes):
        raise ValueError(
            f"num_classes: {num_classes} is not possible for {name}; {staged.num_classes}, its number of classes, is"
        )
    return TakenModel(staged, () if is_given or classifier is None else (classifier,))


def _made(build: Callable[[int | None], nn.Module], num_classes: int | None, x: Tensor, name: str) -> nn.Module:
    """The model of ``build``, in evaluation mode; ``ValueError`` unless it makes logits of ``x``."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build(num_classes)
    if not isinstance(model, nn.Module):
        raise ValueError(f"model: {name} gives {type(model).__name__}; a torch.nn.Module is wanted")
    with probing(model.eval()):
        check_runs(model, x, name)
    return model
