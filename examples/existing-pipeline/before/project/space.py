"""The networks that are searched: three stages of convolutions for images of 8 x 8 pixels."""

from nni.nas.nn.pytorch import LayerChoice, ModelSpace, Repeat
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


class Space(ModelSpace):
    """Depth of each stage, kernel of each block."""

    def __init__(self):
        super().__init__()
        self.stages = nn.Sequential(*[stage(i) for i in range(3)])
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(CHANNELS[-1], 10))

    def forward(self, x):
        return self.head(self.stages(x))
