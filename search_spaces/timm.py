"""Any timm model as the backbone: only its exits are searched. This is for someone who has a trained network.

``timm:resnet18`` is the model ``resnet18``, cut where timm says that its features are, with its own classifier as the last
exit. Its weights are random, timm's pretrained ones, or those of a file, and can be kept from learning.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path

from nni_earlyexit.nn import timm_backbone as timm_stages
from nni_earlyexit.nn.mutables import EXIT_LAYERS, exit_branch
from nni_earlyexit.nn.tokens import ChannelsFirst, token_head
from nni_earlyexit.space.base import EarlyExitSpace, Parts
from nni_earlyexit.utils.checks import check_number
from torch import nn

TOKEN_LAYERS = ("attn_h{heads}_r1", "attn_h{heads}_r2", "mlp_r1", "mlp_r2", "mlp_r4")


class Space(EarlyExitSpace):
    """Per exit: presence, depth 0 to 3, layers, head.

    Parameters
    ----------
    model
        timm's name of the model.
    num_classes
        Number of classes; the model's own by default. Another number gives a new classifier.
    resolution
        Pixels on a side; what the model was made for by default.
    weights
        A safetensors file with the model's weights.
    pretrained
        ``True``: timm downloads its pretrained weights.
    frozen
        ``True``: stem and stages, and a classifier that is not new, keep their weights, and only exits learn.
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
        changed = Path(weights).stat().st_mtime if Path(weights).is_file() else 0.0
        taken, own_classes = _taken(
            str(model),
            num_classes=num_classes,
            resolution=resolution,
            weights=str(weights),
            pretrained=pretrained,
            changed=changed,
        )
        taken = taken.copy()
        if frozen:
            keep = [taken.stem, *taken.stages, *([taken.head] if own_classes else [])]
            for piece in keep:
                if isinstance(piece, timm_stages.FixedStage):
                    piece.freeze()
        return Parts(
            stem=taken.stem,
            stages=taken.stages,
            exits=[
                _exit(stage.output_shape, channels, taken.num_classes, f"exit{i}")
                for i, (stage, channels) in enumerate(zip(taken.stages[:-1], taken.channels, strict=False))
            ],
            head=taken.head,
            input_shape=taken.input_shape,
            num_classes=taken.num_classes,
        )


@lru_cache(maxsize=4)
def _taken(
    model: str, *, num_classes: int | None, resolution: int | None, weights: str, pretrained: bool, changed: float
) -> tuple[timm_stages.StagedModel, bool]:
    """The model taken apart, and ``True`` if its classifier came with its weights; ``changed`` is the time of the file."""
    created, input_shape = timm_stages.load(
        model, num_classes=num_classes, resolution=resolution, weights=weights, pretrained=pretrained
    )
    return timm_stages.cut_into_stages(created, input_shape, model), num_classes is None


def _exit(shape: tuple[int, ...], channels: int, num_classes: int, label: str) -> Callable[[], nn.Module]:
    """A function that builds the exit branch for a stage whose outputs have this ``shape``."""
    if len(shape) == 2:  # tokens, channels
        heads = next(heads for heads in (4, 3, 2, 1) if channels % heads == 0)
        return partial(
            exit_branch,
            channels,
            num_classes,
            label=label,
            layers=[name.format(heads=heads) for name in TOKEN_LAYERS],
            head=partial(token_head, channels, num_classes),
        )
    last = shape[0] != channels and shape[-1] == channels
    pixels = shape[0] if last else shape[-1]
    image = partial(exit_branch, channels, num_classes, label=label, layers=EXIT_LAYERS, pool=max(1, pixels // 7))
    return (lambda: nn.Sequential(ChannelsFirst(), image())) if last else image
