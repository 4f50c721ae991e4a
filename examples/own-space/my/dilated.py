"""A space of one's own: three stages of dilated separable convolutions for grey images of 8 x 8 pixels."""

from functools import partial

from nni_earlyexit.nn import exit_branch, stage
from nni_earlyexit.nn.blocks import register
from nni_earlyexit.space import EarlyExitSpace, Parts
from timm.layers import ClassifierHead, ConvNormAct
from torch import nn

CHANNELS = (16, 32, 48)
BLOCKS = ("dilated_k3_d1", "dilated_k3_d2", "dilated_k5_d1", "mb_k3_e2")  # the last one comes with nni-earlyexit


@register(r"dilated_k(?P<kernel>\d+)_d(?P<dilation>\d+)", takes="images")
def dilated(in_chs, out_chs, stride, act_layer, *, kernel, dilation):
    """A depthwise convolution with holes, then one over the channels."""
    depthwise = ConvNormAct(
        in_chs, in_chs, kernel, stride=stride, dilation=dilation, groups=in_chs, act_layer=act_layer
    )
    return nn.Sequential(depthwise, ConvNormAct(in_chs, out_chs, 1, act_layer=act_layer))


class Space(EarlyExitSpace):
    """Blocks per stage (1 or 2), the type of each, and per exit: presence, depth 0 to 3, layers."""

    name = "my.dilated"  # that of the module, so that a trial finds it

    @classmethod
    def parts(cls, num_classes=10):
        return Parts(
            stem=ConvNormAct(1, 16, 3),
            stages=[
                stage(BLOCKS, CHANNELS[max(0, i - 1)], CHANNELS[i], 2 if i else 1, (1, 2), label=f"stage{i}")
                for i in range(3)
            ],
            exits=[partial(exit_branch, CHANNELS[i], num_classes, label=f"exit{i}", pool=2) for i in range(2)],
            head=ClassifierHead(CHANNELS[-1], num_classes),
            input_shape=(1, 8, 8),
            num_classes=num_classes,
        )

    def violation(self, sample):
        """A combination that is not to be tried: a backbone that gets shallower."""
        if sample["stage1_depth"] > sample["stage2_depth"]:
            return "stage1 is deeper than stage2"
        return super().violation(sample)
