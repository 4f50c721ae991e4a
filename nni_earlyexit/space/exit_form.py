"""The forms that an exit branch can have: how many layers, which ones, and which heads."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from nni_earlyexit.nn import blocks
from nni_earlyexit.nn.inference import example, probing
from nni_earlyexit.nn.layout import channels_last
from nni_earlyexit.utils.checks import Check, is_whole, one_of
from torch import Tensor, nn

Builder = Callable[..., nn.Module]

DEEPEST = 12
"""Most layers of an exit branch."""


class ExitForm(NamedTuple):
    """Limits on the form of every exit but the last one; ``None`` leaves it to the space.

    What is given reaches the functions that build the exits (:attr:`Parts.exits`) as ``depth``, ``layers`` and ``heads``, as
    :func:`nni_earlyexit.nn.mutables.exit_branch` takes them.

    Attributes
    ----------
    exit_depth
        Least and most layers of a branch, or one number; 0 is a classifier alone.
    exit_layers
        Names of the possible layers (:mod:`nni_earlyexit.nn.blocks`).
    exit_heads
        Names of the possible heads, of those that the space has.
    """

    exit_depth: int | tuple[int, int] | None = None
    exit_layers: tuple[str, ...] | None = None
    exit_heads: tuple[str, ...] | None = None

    def check(self) -> None:
        """``ValueError`` unless depth and names can be those of an exit."""
        if self.exit_depth is not None:
            _DEPTH("exit_depth", self.exit_depth)
        for name, given in (("exit_layers", self.exit_layers), ("exit_heads", self.exit_heads)):
            if given is not None:
                _NAMES(name, given)
        for layer in self.exit_layers or ():
            if not blocks.is_block(layer):
                raise ValueError(f"exit_layers: {layer!r} is not possible; a block such as {blocks.EXAMPLES} is")

    def applied(self, build: Builder, stage: int) -> Builder:
        """``build``, which makes the exit after ``stage``, with what is given here.

        Raises ``ValueError`` when it does not take that, or does not have these heads.
        """
        own = _parameters(build)
        given = self._given()
        for name in given:
            if own is not None and name not in own:
                raise ValueError(
                    f"exit_{name}: the function that builds the exit after stage {stage} takes no {name!r}, as exit_branch does"
                )
        if self.exit_heads is not None and own is not None and isinstance(own["heads"], (tuple, list)):
            for head in self.exit_heads:
                one_of(own["heads"])("exit_heads", head)
        return partial(build, **given) if given else build

    def _given(self) -> dict[str, Any]:
        depth = (self.exit_depth, self.exit_depth) if is_whole(self.exit_depth) else self.exit_depth
        given = {"depth": depth, "layers": self.exit_layers, "heads": self.exit_heads}
        return {name: value for name, value in given.items() if value is not None}

    def check_layers(
        self, stem: nn.Module, stages: Sequence[nn.Module], exits: Sequence[Builder | None], input_shape: Sequence[int]
    ) -> None:
        """``ValueError`` unless each of the layers takes what comes out of every stage that can have an exit: one run says so.

        ``exits`` are the functions that build the exits, one per stage, ``None`` where there is none.
        """
        if self.exit_layers is None:
            return
        with probing(nn.Sequential(stem, *stages)):
            x = stem(example(input_shape))
            for stage, (module, build) in enumerate(zip(stages, exits, strict=False)):
                x = module(x)
                if build is not None:
                    for layer in self.exit_layers:
                        _check_takes(layer, x, f"after stage {stage}", padded=len(input_shape) == 1)


def _check_takes(layer: str, x: Tensor, place: str, *, padded: bool) -> None:
    """``ValueError`` unless the block called ``layer`` takes ``x`` and keeps its shape."""
    here = "tokens" if x.dim() == 3 else "images"
    wanted = blocks.takes(layer)
    if wanted not in (None, here):
        right = "attn_h4_r1" if here == "tokens" else "conv_k3"
        raise ValueError(
            f"exit_layers: {layer!r} is not possible {place}, from which {here} come; a layer of {here} such as {right} is"
        )
    if padded and wanted == "tokens" and not layer.endswith("_pad"):
        raise ValueError(f"exit_layers: {layer!r} is not possible for tokens with padding; {layer}_pad is")
    if here == "images" and channels_last(x.shape[1:]):
        x = x.permute(0, 3, 1, 2)
    channels = x.shape[2 if here == "tokens" else 1]
    try:
        kept = blocks.build(layer, channels, channels).eval()(x).shape == x.shape
        reason = "" if kept else "it changes the shape"
    except (ValueError, AssertionError, RuntimeError, TypeError, ZeroDivisionError) as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
    if reason:
        raise ValueError(
            f"exit_layers: {layer!r} is not possible {place}; a layer that takes {channels} channels of {here} and keeps "
            f"them is ({reason})"
        )


def _parameters(build: Builder) -> dict[str, Any] | None:
    """The parameters of ``build`` with their defaults; ``None`` if it takes any."""
    parameters = inspect.signature(build).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return None
    return {name: parameter.default for name, parameter in parameters.items()}


def _is_depth(value: object) -> bool:
    ends = value if isinstance(value, tuple) else (value, value)
    return len(ends) == 2 and all(is_whole(end) for end in ends) and 0 <= ends[0] <= ends[1] <= DEEPEST


def _are_names(value: object) -> bool:
    return (
        isinstance(value, tuple) and all(isinstance(name, str) for name in value) and 0 < len(set(value)) == len(value)
    )


_DEPTH = Check(f"a whole number from 0 to {DEEPEST}, or two of them with the smaller one first,", _is_depth)
_NAMES = Check("one name or several different ones", _are_names, verb="are")
