"""Small inverted-residual networks for 8x8 grey images: four stages, an optional exit after each of the first three."""

from __future__ import annotations

from nni_earlyexit.choices import exit_branch, stage
from nni_earlyexit.space import EarlyExitSpace, Parts
from timm.layers import ClassifierHead, ConvNormAct

BLOCKS = ("ds_k3", "ds_k5", "mb_k3_e2", "mb_k3_e4", "mb_k5_e2", "mb_k5_e4", "fused_k3_e2")
EXIT_LAYERS = ("ds_k3", "mb_k3_e2", "conv_k3")

STEM_CHANNELS = 16
# channels, stride; 8x8, 4x4, 4x4 and 2x2 pixels
STAGES = ((16, 1), (32, 2), (48, 1), (64, 2))


class Space(EarlyExitSpace):
    """Blocks per stage (1 to 3), the type, kernel and expansion of each, and per exit: presence, depth 0 to 2, layers."""

    name = "digits"
    input_shape = (1, 8, 8)
    num_classes = 10

    @classmethod
    def parts(cls) -> Parts:
        in_chs = [STEM_CHANNELS, *(channels for channels, _ in STAGES)]
        return Parts(
            stem=ConvNormAct(cls.input_shape[0], STEM_CHANNELS, kernel_size=3),
            stages=[
                stage(BLOCKS, in_chs[i], channels, stride, (1, 3), label=f"stage{i}")
                for i, (channels, stride) in enumerate(STAGES)
            ],
            exits=[
                *(
                    exit_branch(EXIT_LAYERS, channels, cls.num_classes, (0, 2), label=f"exit{i}", stride=2)
                    for i, (channels, _) in enumerate(STAGES[:-1])
                ),
                ClassifierHead(STAGES[-1][0], cls.num_classes),
            ],
        )
