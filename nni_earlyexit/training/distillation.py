"""Distillation: early exits learn from what a better exit answers (Phuong and Lampert, 2019, "Distillation-based training
for multi-exit architectures").
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import kl_div, log_softmax

TEMPERATURE = 2.0
"""Both answers are softened by it, so that the wrong classes say something too."""


def distillation_loss(logits: Tensor, teacher: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """The divergence of ``logits`` (batch, classes) from those of the ``teacher``, which learns nothing from it.

    It is multiplied by the square of the temperature, so that its gradients are as large as those of the labels
    (Hinton et al., 2015).
    """
    student = log_softmax(logits / temperature, dim=1)
    soft = log_softmax(teacher.detach() / temperature, dim=1)
    return kl_div(student, soft, reduction="batchmean", log_target=True) * temperature**2
