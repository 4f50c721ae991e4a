"""The decision at an exit as layers, for a graph that leaves early without any code around it.

Each measure is that of :mod:`nni_earlyexit.thresholds.confidence`, which documents them, written for tensors.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from nni_earlyexit.thresholds import confidence as measures
from nni_earlyexit.thresholds.learned_confidence import LearnedConfidence
from nni_earlyexit.thresholds.policy import ExitPolicy
from torch import Tensor, nn


def _max_prob(logits: Tensor) -> Tensor:
    return logits[:, -1].softmax(dim=-1).amax(dim=-1)


def _entropy(logits: Tensor) -> Tensor:
    own = logits[:, -1].log_softmax(dim=-1)
    return 1 + (own.exp() * own).sum(dim=-1) / torch.log(torch.tensor(float(own.shape[-1])))


def _margin(logits: Tensor) -> Tensor:
    two = logits[:, -1].softmax(dim=-1).topk(2, dim=-1).values
    return two[:, 0] - two[:, 1]


def _energy(logits: Tensor) -> Tensor:
    return logits[:, -1].logsumexp(dim=-1)


def _patience(logits: Tensor) -> Tensor:
    classes = logits.argmax(dim=-1)
    agreeing = torch.zeros_like(classes[:, 0])
    for k in range(1, logits.shape[1]):
        agreeing = torch.where(classes[:, k] == classes[:, k - 1], agreeing + 1, torch.zeros_like(agreeing))
    return agreeing.float()


MEASURES: dict[str, Callable[[Tensor], Tensor]] = {
    "max_prob": _max_prob,
    "entropy": _entropy,
    "margin": _margin,
    "energy": _energy,
    "patience": _patience,
}
"""Functions of the logits (inputs, kept exits so far, classes): the confidence (inputs,) of the last of them."""


class _Learned(nn.Module):
    """:class:`LearnedConfidence` for tensors."""

    coefficients: Tensor
    offsets: Tensor

    def __init__(self, model: LearnedConfidence) -> None:
        super().__init__()
        self.intercept, self.of_classes = model.intercept, bool(model.offsets)
        self.register_buffer("coefficients", torch.tensor(model.coefficients, dtype=torch.float64))
        self.register_buffer("offsets", torch.tensor(model.offsets or (0.0,), dtype=torch.float64))

    def forward(self, logits: Tensor) -> Tensor:
        own = logits[:, -1].double()
        log_probability = own.log_softmax(dim=-1)
        largest = log_probability.topk(min(3, own.shape[1]), dim=-1).values
        entropy = -(log_probability.exp() * log_probability).sum(dim=-1)
        lacking = -largest[:, 0]
        columns = [*largest.unbind(dim=1), entropy, own.amax(dim=-1), own.logsumexp(dim=-1)]
        columns += [largest[:, 0] - largest[:, 1], largest[:, 0].exp()]
        columns += [torch.log(lacking + 1e-4), torch.log(1e-6 + 1 - torch.exp(-lacking))]
        if self.of_classes:
            columns += log_probability.unbind(dim=1)
        answer = own.argmax(dim=-1, keepdim=True)
        for k in range(logits.shape[1] - 1):
            earlier = logits[:, k].double().log_softmax(dim=-1)
            agrees = (earlier.argmax(dim=-1, keepdim=True) == answer)[:, 0].double()
            columns += [earlier.gather(1, answer)[:, 0], agrees, earlier.amax(dim=-1)]
        sure = self.intercept + torch.stack(columns, dim=1) @ self.coefficients
        if self.of_classes:
            sure = sure + self.offsets[answer[:, 0]]
        return sure.sigmoid()


def can_decide(policy: ExitPolicy) -> bool:
    """``True`` unless the measure of ``policy`` is the user's own, be it under the name of one of this package."""
    return measures.is_built_in(policy.confidence)


class Decision(nn.Module):
    """Answers whether inputs leave at the kept ``exit`` of ``policy``, from the logits of the kept exits up to it.

    Raises ``ValueError`` for a measure of the user's own, which is Python.
    """

    temperatures: Tensor

    def __init__(self, policy: ExitPolicy, exit: int) -> None:
        super().__init__()
        if not can_decide(policy):
            raise ValueError(f"confidence: {policy.confidence!r} is a measure of your own, which cannot be made layers")
        so_far = [k for k in policy.kept if k <= exit]
        temperatures = policy.temperatures or (1.0,) * len(policy.cutoffs)
        self.register_buffer("temperatures", torch.tensor([temperatures[k] for k in so_far]).view(1, -1, 1))
        self.cutoff = policy.cutoffs[exit]
        model = policy.models[exit] if policy.models is not None else None
        self.measure: Callable[[Tensor], Tensor] = MEASURES[policy.confidence] if model is None else _Learned(model)

    def forward(self, *logits: Tensor) -> Tensor:
        """Mask (inputs,), from logits (inputs, classes) of the kept exits up to this one."""
        return self.measure(torch.stack(logits, dim=1) / self.temperatures) >= self.cutoff
