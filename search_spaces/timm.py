"""Any timm model as the backbone: only its exits are searched. This is for someone who has a trained network.

``timm:resnet18`` is the model ``resnet18``, cut where timm says that its features are, with its own classifier as the last
exit. Its weights are random, timm's pretrained ones, or those of a file, and can be kept from learning.
"""

from __future__ import annotations

from functools import lru_cache

from nni_earlyexit.nn import timm_backbone
from nni_earlyexit.nn.cutting import StagedModel, cut
from nni_earlyexit.nn.weights import time_of_change
from nni_earlyexit.space.base import EarlyExitSpace, Parts
from nni_earlyexit.space.given_backbone import given_parts
from nni_earlyexit.utils.checks import check_number


class Space(EarlyExitSpace):
    """Per exit: presence, depth 0 to 3, layers, head.

    Parameters
    ----------
    model
        timm's name of the model.
    num_classes
        Number of classes; the model's own by default. A number other than that of the weights gives a new classifier.
    resolution
        Pixels on a side; what the model was made for by default.
    weights
        A safetensors file with the model's weights.
    pretrained
        ``True``: timm downloads its pretrained weights.
    frozen
        ``True``: the model keeps its weights, all but those of a new classifier, and only exits learn.
    """

    name = "timm"
    examples = ({"model": "resnet18"},)

    @classmethod
    def parts(
        cls,
        model: str,
        num_classes: int | None = None,
        resolution: int | None = None,
        weights: str = "",
        pretrained: bool = False,
        frozen: bool = False,
    ) -> Parts:
        """The model cut into stages, an exit after each but the last, and the model's own classifier.

        Raises ``ValueError`` for an unknown model, one that cannot be cut, and weights that do not fit or cannot be had.
        """
        if num_classes is not None:
            check_number("num_classes", num_classes, 2)
        if resolution is not None:
            check_number("resolution", resolution, 8)
        loaded, taken = _taken(
            str(model),
            num_classes=num_classes,
            resolution=resolution,
            weights=str(weights),
            pretrained=pretrained,
            changed=time_of_change(str(weights)),
        )
        learning = loaded.classifier if loaded.is_new else ()
        return given_parts(taken, frozen=frozen, learning=learning, mean=loaded.mean, std=loaded.std)


@lru_cache(maxsize=4)
def _taken(
    model: str, *, num_classes: int | None, resolution: int | None, weights: str, pretrained: bool, changed: float
) -> tuple[timm_backbone.TimmModel, StagedModel]:
    """The model, and the model taken apart; ``changed`` is the time of the file."""
    loaded = timm_backbone.load(
        model, num_classes=num_classes, resolution=resolution, weights=weights, pretrained=pretrained
    )
    return loaded, cut(loaded.model, timm_backbone.features(loaded.model, model), loaded.input_shape, model)
