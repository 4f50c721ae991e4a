"""The parts of a space whose backbone is a given model: only its exits are searched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from nni_earlyexit.nn.cutting import StagedModel
from nni_earlyexit.nn.layout import channels_last
from nni_earlyexit.nn.mutables import EXIT_DEPTH, EXIT_HEADS, EXIT_LAYERS, exit_branch
from nni_earlyexit.nn.tokens import ChannelsFirst, token_head
from nni_earlyexit.space.base import Parts
from torch import nn

TOKEN_LAYERS = ("attn_h{heads}_r1", "attn_h{heads}_r2", "mlp_r1", "mlp_r2", "mlp_r4")


def given_parts(
    taken: StagedModel,
    *,
    frozen: bool = False,
    learning: Sequence[str] = (),
    padded: bool = False,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
) -> Parts:
    """The pieces of a model with weights of their own, an exit after each stage but the last, and the model's own head.

    ``frozen``: all but the modules that ``learning`` names keep their weights. ``padded``: tokens may be
    padding. ``mean`` and ``std``: see :class:`Parts`.

    Raises ``ValueError`` for a stage that no exit can follow.
    """
    taken = taken.copy()
    if frozen:
        taken.freeze(but=learning)
    return Parts(
        stem=taken.stem,
        stages=taken.stages,
        exits=[_exit(stage.output_shape, taken.num_classes, i, padded) for i, stage in enumerate(taken.stages[:-1])],
        head=taken.head,
        input_shape=taken.input_shape,
        num_classes=taken.num_classes,
        mean=mean,
        std=std,
    )


def _exit(shape: tuple[int, ...], num_classes: int, stage: int, padded: bool) -> Callable[..., nn.Module]:
    """A function that builds the exit branch for a stage whose outputs have this ``shape``."""
    label = f"exit{stage}"
    if len(shape) == 2:  # tokens, channels
        channels = shape[1]
        heads = next(heads for heads in (4, 3, 2, 1) if channels % heads == 0)
        return partial(
            exit_branch,
            channels,
            num_classes,
            label=label,
            layers=[name.format(heads=heads) + ("_pad" if padded else "") for name in TOKEN_LAYERS],
            head=partial(token_head, channels, num_classes, padded=padded),
        )
    if len(shape) != 3:
        raise ValueError(
            f"exits: an exit after stage {stage}, whose output has shape {shape}, is not possible; after images "
            "(channels, height, width) or tokens (tokens, channels) it is"
        )
    last = channels_last(shape)
    pixels = shape[0] if last else shape[-1]
    image = partial(exit_branch, shape[-1 if last else 0], num_classes, label=label, pool=max(1, pixels // 7))
    return partial(_channels_first, image) if last else image


def _channels_first(
    image: Callable[..., nn.Module],
    *,
    layers: Sequence[str] = EXIT_LAYERS,
    depth: tuple[int, int] = EXIT_DEPTH,
    heads: Sequence[str] = EXIT_HEADS,
) -> nn.Module:
    """The exit that ``image`` builds, for images (height, width, channels)."""
    return nn.Sequential(ChannelsFirst(), image(layers=layers, depth=depth, heads=heads))
