"""Small inverted-residual networks for 8x8 grey images: four stages, an optional exit after each of the first three."""

from __future__ import annotations

from functools import partial

from nni_earlyexit.nn.mutables import exit_branch, stage
from nni_earlyexit.space.base import EarlyExitSpace, Parts
from timm.layers import ClassifierHead, ConvNormAct

BLOCKS = ("ds_k3", "ds_k5", "mb_k3_e2", "mb_k3_e4", "mb_k5_e2", "mb_k5_e4", "fused_k3_e2")

STEM_CHANNELS = 16
# channels, stride; 8x8, 4x4, 4x4 and 2x2 pixels
STAGES = ((16, 1), (32, 2), (48, 1), (64, 2))


class Space(EarlyExitSpace):
    """Blocks per stage (1 to 3), the type, kernel and expansion of each, and per exit: presence, depth 0 to 3, layers.

    Parameters
    ----------
    num_classes
        Number of classes.
    """

    name = "digits"
    version = 2

    @classmethod
    def parts(cls, num_classes: int = 10) -> Parts:
        """Stem, four stages, an exit after each of the first three, and the classifier."""
        in_chs = [STEM_CHANNELS, *(channels for channels, _ in STAGES)]
        return Parts(
            stem=ConvNormAct(1, STEM_CHANNELS, kernel_size=3),
            stages=[
                stage(BLOCKS, in_chs[i], channels, stride, (1, 3), label=f"stage{i}")
                for i, (channels, stride) in enumerate(STAGES)
            ],
            exits=[
                partial(exit_branch, channels, num_classes, label=f"exit{i}", pool=2)
                for i, (channels, _) in enumerate(STAGES[:-1])
            ],
            head=ClassifierHead(STAGES[-1][0], num_classes),
            input_shape=(1, 8, 8),
            num_classes=num_classes,
        )
