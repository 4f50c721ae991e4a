"""The classifier of any model: its last layer, and weights of a file that may have another number of classes."""

from __future__ import annotations

from nni_earlyexit.nn.inference import probing
from nni_earlyexit.nn.weights import fill
from torch import Tensor, nn


def classifier_name(model: nn.Module, x: Tensor) -> str | None:
    """Name of the last linear or convolutional layer that runs for the inputs ``x``; ``None`` if there is none."""
    last: list[str] = []
    handles = [
        module.register_forward_hook(lambda *_, name=name: last.append(name))
        for name, module in model.named_modules()
        if isinstance(module, (nn.Linear, nn.Conv2d))
    ]
    try:
        with probing(model):
            model(x)
    finally:
        for handle in handles:
            handle.remove()
    return last[-1] if last else None


def fill_but_classifier(model: nn.Module, state: dict[str, Tensor], classifier: str | None, weights: str) -> bool:
    """Load ``state`` into ``model``; a ``classifier`` of another number of classes keeps its own weights.

    Returns ``True`` if the classifier is one of the file's, ``False`` if it kept its own weights. ``ValueError`` that names
    the file ``weights`` unless all else fits.
    """
    own = model.state_dict()
    others = {
        name: own[name]
        for name in (f"{classifier}.weight", f"{classifier}.bias")
        if name in own and name in state and _other_classes(own[name], state[name])
    }
    fill(model, {**state, **others}, weights)
    return not others


def _other_classes(own: Tensor, given: Tensor) -> bool:
    return own.shape[1:] == given.shape[1:] and own.shape != given.shape
