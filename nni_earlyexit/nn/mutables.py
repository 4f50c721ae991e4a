"""The choices that an early-exit space is made of, on NNI's own mutables.

Where NNI freezes a space by building it again under a sample, only what the sample chose is built.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nni.mutable import Categorical, MutableExpression, Sample
from nni.nas.nn.pytorch import LayerChoice, MutableModule, Repeat
from nni.nas.profiler.pytorch.flops import FlopsResult, count_flops_params
from nni.nas.space import current_model
from nni_earlyexit.nn import blocks
from timm.layers import ClassifierHead
from torch import Tensor, nn

PRESENT, ABSENT = "yes", "no"

EXIT_LAYERS = ("ds_k3", "mb_k3_e2", "mb_k5_e2", "mb_k3_e2_se", "mb_k5_e2_se", "conv_k3")
EXIT_HEADS = ("avg", "catavgmax")
EXIT_DEPTH = (0, 3)


def choose(build: Callable[[str], nn.Module], names: Sequence[str], *, label: str) -> nn.Module:
    """A ``LayerChoice`` between ``build(name)`` for each of ``names``; only the chosen one is built under a sample."""
    sample = current_model()
    if sample is not None:
        return build(Categorical(list(names), label=label).freeze(sample))
    return LayerChoice({name: build(name) for name in names}, label=label)


def layer(
    names: Sequence[str], in_chs: int, out_chs: int, stride: int = 1, *, label: str, act_layer: str = "relu"
) -> nn.Module:
    """A ``LayerChoice`` over the blocks called ``names`` (see :mod:`nni_earlyexit.nn.blocks`)."""
    return choose(lambda name: blocks.build(name, in_chs, out_chs, stride, act_layer), names, label=label)


def stage(
    names: Sequence[str],
    in_chs: int,
    out_chs: int,
    stride: int,
    depth: tuple[int, int],
    *,
    label: str,
    first: Sequence[str] | None = None,
    act_layer: str = "relu",
) -> nn.Module:
    """A searchable stage: ``label_depth`` blocks, and which one at each place, ``label_block0``, ``label_block1``, ...

    The first block changes the channels and the resolution, the others keep them. ``first`` names the blocks that can
    stand there, where not all of ``names`` can.
    """

    def build(index: int) -> nn.Module:
        here = f"{label}_block{index}"
        if index == 0:
            return layer(first or names, in_chs, out_chs, stride, label=here, act_layer=act_layer)
        return layer(names, out_chs, out_chs, label=here, act_layer=act_layer)

    return Repeat(build, depth, label=f"{label}_depth")


def exit_branch(
    channels: int,
    num_classes: int,
    *,
    label: str,
    layers: Sequence[str] = EXIT_LAYERS,
    depth: tuple[int, int] = EXIT_DEPTH,
    heads: Sequence[str] = EXIT_HEADS,
    pool: int = 1,
    act_layer: str = "relu",
    head: Callable[[str], nn.Module] | None = None,
) -> nn.Module:
    """A searchable exit branch: the number of layers (0: classifier only), the layer at each place, and the head.

    Parameters
    ----------
    channels
        Channels of the stage that it is attached to; its layers keep them.
    label
        Start of its labels: ``label_depth``, ``label_layer0``, ..., ``label_head``.
    layers, depth, heads
        The possible layers, least and most of them, and heads. A depth that cannot be chosen has no label.
    pool
        Images are averaged over squares of this size first, which makes the layers cheaper.
    head
        Makes the head of a name; timm's ``ClassifierHead`` by default, the name being its ``pool_type``.
    """
    make_head = head or (lambda name: ClassifierHead(channels, num_classes, pool_type=name))

    def build(index: int) -> nn.Module:
        # Something always comes first, so that depth 0 is a module too: NNI's one-shot strategies need one.
        if index == 0:
            return nn.AvgPool2d(pool) if pool > 1 else nn.Identity()
        return layer(layers, channels, channels, label=f"{label}_layer{index - 1}", act_layer=act_layer)

    shallowest, deepest = depth
    length: Any = shallowest + 1
    if deepest > shallowest:
        length = Categorical(list(range(shallowest, deepest + 1)), label=f"{label}_depth") + 1
    return nn.Sequential(Repeat(build, length), choose(make_head, heads, label=f"{label}_head"))


class OptionalExit(MutableModule):
    """An exit branch that may be absent.

    Frozen, it is the branch or ``None``. Inside a space it always runs, so that shapes and weights exist for every
    network of the space.

    Parameters
    ----------
    build
        Makes the branch; called only when there is one.
    label
        Label of the choice between ``"yes"`` and ``"no"``.
    """

    def __init__(self, build: Callable[[], nn.Module], *, label: str) -> None:
        super().__init__()
        self.presence = self._presence(label)
        self.add_mutable(self.presence)
        self.branch = build()

    @staticmethod
    def _presence(label: str) -> Categorical:
        return Categorical([PRESENT, ABSENT], label=label)

    @classmethod
    def create_fixed_module(cls, sample: Sample, build: Callable[[], nn.Module], *, label: str) -> nn.Module | None:
        """The branch if ``sample`` has it, else ``None``: NNI calls this instead of the constructor."""
        return build() if cls._presence(label).freeze(sample) == PRESENT else None

    def forward(self, x: Tensor) -> Tensor | None:
        """Logits (batch, classes) of the branch."""
        # A view, because NNI's shape inference writes the shape of what comes out of a Repeat onto the tensor itself, which
        # may be the one that went in and that the next stage reads too.
        return self.branch(x.view(x.shape))

    def _count_flops(self, inputs: Any, outputs: Any, *, name: str, shapes: Any, config: Any) -> FlopsResult:
        """Costs of this module for NNI's profiler: an absent exit costs nothing."""
        branch = count_flops_params(f"{name}.branch", self.branch, shapes, config)
        return FlopsResult(
            MutableExpression.switch_case(self.presence, {PRESENT: branch.flops, ABSENT: 0}),
            MutableExpression.switch_case(self.presence, {PRESENT: branch.params, ABSENT: 0}),
        )
