"""A timm model with its weights, and the places that timm names in ``feature_info``, which it is cut at."""

from __future__ import annotations

from typing import Any, NamedTuple

import timm
import torch
from nni_earlyexit.nn.weights import fill, read_weights
from nni_earlyexit.utils.checks import unknown
from torch import nn

MOST_STAGES = 5


class TimmModel(NamedTuple):
    """A timm model in evaluation mode.

    Attributes
    ----------
    model
        The model with its weights.
    input_shape
        Shape of one input.
    classifier
        Names of the modules of the classifier.
    is_new
        ``True`` if the classifier did not come with the weights but was made for the number of classes.
    mean, std
        Normalisation that given weights were trained with; ``None`` where the weights are random.
    """

    model: nn.Module
    input_shape: tuple[int, ...]
    classifier: tuple[str, ...]
    is_new: bool
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None


def load(model: str, *, num_classes: int | None, resolution: int | None, weights: str, pretrained: bool) -> TimmModel:
    """A timm model with its weights.

    ``weights`` is a safetensors file; without it and without ``pretrained``, the weights are random ones that never
    change. A number of classes other than that of the weights gives a new classifier.

    Raises ``ValueError`` for a model that timm does not have, and weights that do not fit or cannot be had.
    """
    if not timm.is_model(model.partition(".")[0]):
        raise unknown("model", model, timm.list_models())
    if weights and pretrained:
        raise ValueError("weights: only one of weights and pretrained can be given")
    state = read_weights(weights) if weights else {}
    arguments: dict[str, Any] = {"pretrained": pretrained}
    if state:
        last = f"{timm.get_pretrained_cfg_value(model, 'classifier')}.weight"
        if last in state:
            arguments["num_classes"] = state[last].shape[0]
    elif not pretrained and num_classes is not None:
        arguments["num_classes"] = num_classes
    with torch.random.fork_rng():
        torch.manual_seed(0)
        created = _create(model, resolution, arguments)
        if state:
            fill(created, state, weights)
        given = bool(state) or pretrained
        is_new = num_classes is not None and not (given and created.num_classes == num_classes)
        if num_classes is not None and created.num_classes != num_classes:
            created.reset_classifier(num_classes)
    config = created.pretrained_cfg
    size = tuple(config["input_size"])
    if resolution is not None:
        patch = getattr(getattr(created, "patch_embed", None), "patch_size", (1, 1))
        patch = patch[0] if isinstance(patch, tuple) else patch
        if resolution % patch:
            raise ValueError(
                f"resolution: {resolution} cannot be divided into the patches of {model}, {patch} on a side"
            )
        size = (size[0], resolution, resolution)
    classifier: str | tuple[str, ...] = config.get("classifier") or ()
    return TimmModel(
        created.eval(),
        size,
        classifier=(classifier,) if isinstance(classifier, str) else tuple(classifier),
        is_new=is_new,
        mean=tuple(config["mean"]) if given else None,
        std=tuple(config["std"]) if given else None,
    )


def _create(model: str, resolution: int | None, arguments: dict[str, Any]) -> Any:
    try:
        if resolution is not None:
            try:
                return timm.create_model(model, img_size=resolution, **arguments)
            except TypeError:
                pass  # a convolutional network, which takes any size
        return timm.create_model(model, **arguments)
    except (AssertionError, ZeroDivisionError) as error:
        raise ValueError(
            f"resolution: {resolution} is not possible for {model}: {error or 'it cannot be divided'}"
        ) from None
    except (OSError, RuntimeError) as error:
        if arguments["pretrained"]:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(f"pretrained: the weights of {model!r} cannot be had: {reason}") from None
        raise


def features(model: nn.Module, name: str) -> list[str]:
    """Names of the modules to cut ``model``, which timm calls ``name``, after: the stem's end, then those of the stages.

    An empty first name: there is no stem. Raises ``ValueError`` when timm names no features.
    """
    info = getattr(model, "feature_info", None)
    info = list(getattr(info, "info", info) or [])
    if len(info) < 2 or not all(feature.get("module") for feature in info):
        raise ValueError(f"model: timm names no features of {name}, so that there is nowhere to attach an exit")
    if len({feature["reduction"] for feature in info}) == 1:
        # blocks of one resolution, such as a vision transformer's: four stages of about as many
        wanted = min(len(info), MOST_STAGES - 1)
        info = [{**info[0], "module": ""}, *(info[(i + 1) * len(info) // wanted - 1] for i in range(wanted))]
    elif len(info) < MOST_STAGES:
        info = [{**info[0], "module": ""}, *info]
    return [str(feature["module"]) for feature in info]
