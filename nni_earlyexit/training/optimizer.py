"""Optimizers by timm's names, and the course of the learning rate."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from nni_earlyexit.training.recipe import Recipe
from nni_earlyexit.utils.checks import unknown
from torch import nn
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

FIRST = 0.04
"""Learning rate of the first step as a share of the peak, as of torch's one cycle."""
FUSED = ("adam", "adamw", "sgd", "nesterov", "momentum")
"""Optimizers that torch has in one piece, which saves a third of their time on a CPU."""


def create_optimizer(recipe: Recipe, model: nn.Module, *, bfloat16: bool = False) -> torch.optim.Optimizer:
    """Timm's optimizer of all that learns in ``model``; ``ValueError`` with the nearest names for an unknown one.

    ``bfloat16`` says that the network is trained in it, so that the machine is quick at it.
    """
    from timm.optim import create_optimizer_v2

    name = str(recipe.optimizer)
    check_optimizer(name)
    # Lightning clips no gradients of an optimizer in one piece where a network is trained in bfloat16
    in_one_piece: dict[str, Any] = {"fused": True} if name in FUSED and not (bfloat16 and recipe.clip_gradient) else {}
    try:
        optimizer = create_optimizer_v2(
            [parameter for parameter in model.parameters() if parameter.requires_grad],
            opt=name,
            lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay or 0.0,
            **in_one_piece,
        )
    except (AssertionError, ImportError) as error:  # those of libraries that are not installed
        raise ValueError(f"optimizer: {name!r} is not possible here: {error or 'it needs another library'}") from None
    _orthogonalize_in(torch.bfloat16 if bfloat16 else torch.float32, optimizer)
    if isinstance(optimizer, torch.optim.SGD):
        # in one piece it cannot begin with some weights later than with others, as a supernet does; zeros change nothing
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def _orthogonalize_in(dtype: torch.dtype, optimizer: torch.optim.Optimizer) -> None:
    """Let timm's Muon compute its Newton-Schulz iterations in ``dtype``, where it would take bfloat16 on every machine.

    A processor without units for bfloat16 is many times as slow in it, and its steps took longer than all the rest.
    """
    from timm.optim import muon

    if not isinstance(optimizer, muon.Muon):
        return
    # timm has no argument for it; where a step ended with an error, what it had set is still there
    given = getattr(muon.zeropower_via_newtonschulz, "func", muon.zeropower_via_newtonschulz)

    def before(*_: Any) -> None:
        muon.zeropower_via_newtonschulz = partial(given, dtype=dtype)

    def after(*_: Any) -> None:
        muon.zeropower_via_newtonschulz = given

    optimizer.register_step_pre_hook(before)
    optimizer.register_step_post_hook(after)


def check_optimizer(name: str | None) -> None:
    """``ValueError`` with the nearest names unless timm has an optimizer called ``name``; ``None`` is the recipe's."""
    from timm.optim import get_optimizer_info, list_optimizers

    names = [str(name) for name in list_optimizers()]
    if name is not None and name not in names:
        raise unknown("optimizer", name, names)
    if name is not None and get_optimizer_info(name).second_order:
        raise ValueError(f"optimizer: {name!r} is not possible; it needs second derivatives, which are not computed")


def create_schedule(recipe: Recipe, optimizer: torch.optim.Optimizer, steps: int) -> LRScheduler:
    """The course of the learning rate over so many ``steps``, stepped after every batch."""
    peak, warmup = recipe.learning_rate or 0.0, float(recipe.warmup or 0.0)
    if recipe.schedule == "onecycle":
        if warmup * steps in (1, steps):  # by which torch would divide by zero
            warmup *= 0.999
        cycles = any(name in optimizer.defaults for name in ("momentum", "betas"))
        return OneCycleLR(optimizer, peak, total_steps=steps, pct_start=warmup, cycle_momentum=cycles)
    return TimmSchedule(optimizer, str(recipe.schedule), peak, steps, round(warmup * steps))


class TimmSchedule(LRScheduler):
    """A schedule of timm's as one of torch's, which Lightning and NNI's one-shot strategies step by themselves.

    Parameters
    ----------
    schedule
        ``"linear"`` or ``"cosine"`` fall to zero; ``"constant"`` does not fall.
    peak
        Highest learning rate.
    steps, warmup
        Number of steps, and how many of them the learning rate rises for.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, schedule: str, peak: float, steps: int, warmup: int) -> None:
        from timm.scheduler import CosineLRScheduler, PolyLRScheduler, StepLRScheduler

        rising: dict[str, Any] = {
            "warmup_t": warmup,
            "warmup_lr_init": peak * FIRST,
            "warmup_prefix": True,
            "t_in_epochs": False,
        }
        falling = max(1, steps - warmup)
        self._timm: Any
        if schedule == "cosine":
            self._timm = CosineLRScheduler(optimizer, t_initial=falling, **rising)
        elif schedule == "linear":
            self._timm = PolyLRScheduler(optimizer, t_initial=falling, power=1.0, **rising)
        else:
            self._timm = StepLRScheduler(optimizer, decay_t=steps + 1, **{**rising, "warmup_prefix": False})
        super().__init__(optimizer)

    def step(self, epoch: int | None = None) -> None:
        """Go on by one step."""
        self.last_epoch += 1
        self._timm.step_update(self.last_epoch)
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"last_epoch": self.last_epoch}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from ``state_dict``."""
        self.last_epoch = int(state_dict["last_epoch"]) - 1
        self.step()
