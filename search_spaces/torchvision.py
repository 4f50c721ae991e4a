"""Any classifier of torchvision as the backbone: only its exits are searched.

``torchvision:resnet18`` is the model ``resnet18``, cut where its resolution changes, or after the modules that ``exits`` names,
with its own classifier as the last exit. Its weights are random or those of a file, and can be kept from learning.
"""

from __future__ import annotations

from functools import lru_cache

from nni_earlyexit.nn.weights import time_of_change
from nni_earlyexit.space.any_model import TakenModel, names, take
from nni_earlyexit.space.base import EarlyExitSpace, Parts
from nni_earlyexit.space.given_backbone import given_parts
from nni_earlyexit.utils.checks import check_number, unknown
from torch import nn
from torchvision import models

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Normalisation of ImageNet, with which all of torchvision's weights were trained."""


class Space(EarlyExitSpace):
    """Per exit: presence, depth 0 to 3, layers, head.

    Parameters
    ----------
    model
        torchvision's name of the model.
    num_classes
        Number of classes; by default that of the weights, or 1000. A number other than that of the weights gives
        a new classifier.
    resolution
        Pixels on a side.
    weights
        A safetensors file with the model's weights.
    frozen
        ``True``: the model keeps its weights, all but those of a new classifier, and only exits learn.
    exits
        Names of the modules that an exit can follow, such as ``layer2,layer3``, in the order in which they run; found by the
        resolution by default.
    """

    name = "torchvision"
    examples = ({"model": "resnet18", "resolution": 64},)

    @classmethod
    def parts(
        cls,
        model: str,
        num_classes: int | None = None,
        resolution: int = 224,
        weights: str = "",
        frozen: bool = False,
        exits: str | tuple[str, ...] = (),
    ) -> Parts:
        """The model cut into stages, an exit after each but the last, and the model's own classifier.

        Raises ``ValueError`` for an unknown model, one that cannot be cut, and weights that do not fit.
        """
        if num_classes is not None:
            check_number("num_classes", num_classes, 2)
        check_number("resolution", resolution, 8)
        taken = _taken(str(model), num_classes, resolution, str(weights), time_of_change(str(weights)), names(exits))
        mean, std = (MEAN, STD) if weights else (None, None)
        return given_parts(taken.staged, frozen=frozen, learning=taken.learning, mean=mean, std=std)


@lru_cache(maxsize=4)
def _taken(
    model: str, num_classes: int | None, resolution: int, weights: str, changed: float, exits: tuple[str, ...]
) -> TakenModel:
    """The model taken apart; ``changed`` is the time of the file."""
    classifiers = models.list_models(module=models)
    if model not in classifiers:
        raise unknown("model", model, classifiers)

    def build(classes: int | None) -> nn.Module:
        arguments = {} if classes is None else {"num_classes": classes}
        if model.startswith("vit_"):  # the only ones that are made for one resolution
            arguments["image_size"] = resolution
        try:
            return models.get_model(model, weights=None, **arguments)
        except AssertionError as error:
            raise ValueError(f"resolution: {resolution} is not possible for {model}: {error}") from None

    return take(
        build,
        model,
        (3, resolution, resolution),
        num_classes=num_classes,
        is_new=num_classes is not None,
        weights=weights,
        exits=exits,
    )
