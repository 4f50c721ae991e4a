"""The networks that are searched: three stages of convolutions for images of 8 x 8 pixels."""

from functools import partial

from nni.nas.nn.pytorch import LayerChoice, Repeat
from nni_earlyexit.nn import exit_branch
from nni_earlyexit.space import EarlyExitSpace, Parts
from torch import nn

CHANNELS = (16, 32, 64)


def block(in_chs, out_chs, label):
    """A convolution whose kernel is searched."""
    kernels = {f"conv_k{k}": nn.Conv2d(in_chs, out_chs, k, padding=k // 2) for k in (1, 3, 5)}
    return nn.Sequential(LayerChoice(kernels, label=label), nn.BatchNorm2d(out_chs), nn.ReLU())


def stage(number):
    """One to three blocks, then half the resolution."""
    in_chs, out_chs = (1, *CHANNELS)[number], CHANNELS[number]
    blocks = Repeat(
        lambda i: block(out_chs if i else in_chs, out_chs, f"stage{number}_block{i}"),
        (1, 3),
        label=f"stage{number}_depth",
    )
    return nn.Sequential(blocks, nn.MaxPool2d(2))


class Space(EarlyExitSpace):
    """Depth of each stage, kernel of each block, and the exits."""

    name = "project.space"

    @classmethod
    def parts(cls):
        stages = [stage(i) for i in range(3)]
        exits = [partial(exit_branch, CHANNELS[i], 10, label=f"exit{i}") for i in range(2)]
        head = nn.Sequential(nn.Flatten(), nn.Linear(CHANNELS[-1], 10))
        return Parts(nn.Identity(), stages, exits, head, input_shape=(1, 8, 8), num_classes=10)
