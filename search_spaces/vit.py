"""Vision transformers: timm's blocks with searchable depth, heads and MLP ratio; exits on pooled tokens."""

from __future__ import annotations

from functools import partial
from typing import Any

from nni_earlyexit.nn.mutables import exit_branch, stage
from nni_earlyexit.nn.tokens import ImageTokens, token_head
from nni_earlyexit.space.base import EarlyExitSpace, Parts
from nni_earlyexit.space.resolution import check_divides
from nni_earlyexit.utils.checks import check_number

BLOCKS = tuple(f"attn_h{heads}_r{ratio}" for heads in (2, 4, 8) for ratio in (1, 2, 4))
EXIT_LAYERS = ("attn_h4_r1", "attn_h4_r2", "mlp_r1", "mlp_r2", "mlp_r4")
DEPTH = (1, 3)
STAGES = 4
PATCH = 4


class Space(EarlyExitSpace):
    """Blocks per stage (1 to 3), heads and MLP ratio of each, and per exit: presence, depth 0 to 3, layers, head.

    Parameters
    ----------
    resolution
        Pixels on a side, a multiple of ``patch``.
    patch
        Pixels on a side of the patch that becomes one token.
    channels
        Length of a token's vector, a multiple of 8.
    num_classes
        Number of classes.
    """

    name = "vit"
    examples = ({}, {"resolution": 224, "patch": 16, "channels": 192, "num_classes": 1000})

    @classmethod
    def check_resolution(cls, resolution: int, **arguments: Any) -> None:
        """``ValueError`` unless images of this ``resolution`` can be divided into patches."""
        patch = arguments.get("patch", PATCH)
        check_number("patch", patch, 1)
        check_divides(resolution, patch)

    @classmethod
    def parts(cls, resolution: int = 32, patch: int = PATCH, channels: int = 128, num_classes: int = 10) -> Parts:
        """Patch embedding, four stages, an exit after each of the first three, and the classifier."""
        check_number("patch", patch, 1)
        check_number("channels", channels, 8, multiple_of=8)
        check_divides(resolution, patch)
        return Parts(
            stem=ImageTokens(resolution, patch, channels),
            stages=[stage(BLOCKS, channels, channels, 1, DEPTH, label=f"stage{i}") for i in range(STAGES)],
            exits=[
                partial(
                    exit_branch,
                    channels,
                    num_classes,
                    label=f"exit{i}",
                    layers=EXIT_LAYERS,
                    head=partial(token_head, channels, num_classes),
                )
                for i in range(STAGES - 1)
            ],
            head=token_head(channels, num_classes),
            input_shape=(3, resolution, resolution),
            num_classes=num_classes,
        )
