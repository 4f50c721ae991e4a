"""Answering images or sentences with an exported network in PyTorch, on a CPU or a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nni_earlyexit.deploy.bundle import load_network
from nni_earlyexit.deploy.segments import TorchSegments
from nni_earlyexit.nn.inference import best_device, example
from nni_earlyexit.nn.preprocessing import Inputs
from nni_earlyexit.runtime.bundle import Bundle
from nni_earlyexit.runtime.routing import Prediction, Router, measure
from nni_earlyexit.runtime.watch import Watch
from nni_earlyexit.thresholds.policy import ExitPolicy
from nni_earlyexit.utils.checks import lookup
from numpy.typing import NDArray

NUMBERS = {"float32": False, "bfloat16": True}


class EarlyExitPredictor:
    """Answers images or sentences; an input that has left costs nothing afterwards. Threads may share one.

    Parameters
    ----------
    bundle
        The bundle.
    device
        Where it computes, such as ``"cpu"``; the GPU by default, if there is one.
    numbers
        ``"float32"`` or ``"bfloat16"``. (Integers of 8 bits are for :class:`~nni_earlyexit.runtime.OnnxPredictor`.)
    compile
        ``True`` compiles the segments with ``torch.compile``, for one input and for batches of any size. The first calls then
        take seconds, or minutes for a large network, and on a CPU a C++ compiler must be there.

    Attributes
    ----------
    policy
        The policy by which inputs leave; another one of ``bundle.policy_at(...)`` may be put there at any time. A batch that is
        being answered keeps the one that it began with.
    watch
        Compares the exits with those of the test inputs, and warns where the promise no longer holds; ``None`` does not.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        device: str | torch.device | None = None,
        numbers: str = "float32",
        compile: bool = False,  # noqa: A002 - as torch calls it
    ) -> None:
        self.bundle, self.policy = bundle, bundle.policy
        self.watch: Watch | None = Watch(bundle.fit())
        half = lookup(NUMBERS, numbers, "numbers")
        network = load_network(bundle)
        place = torch.device(device) if device is not None else best_device()
        self._preprocessing = network.preprocessing
        self._router = Router(TorchSegments(network, place, bfloat16=half, compiled=compile), network.num_classes)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        device: str | torch.device | None = None,
        numbers: str = "float32",
        compile: bool = False,  # noqa: A002 - as torch calls it
    ) -> EarlyExitPredictor:
        """The predictor of the bundle in ``folder``, from which nothing is executed or unpickled."""
        return cls(Bundle.load(folder), device=device, numbers=numbers, compile=compile)

    def __call__(self, images: Inputs) -> Prediction:
        """Answer ``images``, one or a batch, as :meth:`EarlyExitNetwork.predict` takes them."""
        policy: ExitPolicy = self.policy
        spent = np.asarray(self.bundle.costs_under(policy))
        answers = self._router(self._prepared(images), policy, spent)
        if self.watch is not None:
            self.watch.add(policy, answers.exits)
        return answers

    def _prepared(self, images: Inputs) -> NDArray[Any]:
        """The batch before it is normalised, which the first segment does."""
        if self._preprocessing is None:
            raise AssertionError("a bundle has one")
        if isinstance(images, Sequence) and not isinstance(images, str) and not images:
            images = np.zeros((0, *self._preprocessing.input_shape), np.float32)
        x = self._preprocessing.shaped(images).detach().cpu()
        if self.bundle.architecture.tokens:
            return x.long().numpy()
        is_image = x.dtype == torch.uint8 and x.ndim == 4
        return (x.float() / 255 if is_image else x.float()).numpy()

    def measure(self, batch_size: int = 64) -> None:
        """Measure how long the segments take here, so that only what pays is taken out of batches up to this size."""
        x = self._prepared(example(self.bundle.architecture.input_shape, batch_size))
        self._router.timings = measure(self._router.segments, x)
