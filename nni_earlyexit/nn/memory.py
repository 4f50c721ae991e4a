"""Bytes of the tensors that are alive at once while a module runs."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

T = TypeVar("T")


class LiveTensors(TorchDispatchMode):
    """Counts the tensors that are made while it is entered, as long as they live.

    Memory that an operator uses inside itself is not seen, and neither are tensors that existed before.

    Attributes
    ----------
    bytes, peak_bytes
        Bytes alive now, and the most so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0
        self.peak_bytes = 0
        self._storages: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def ignore(self, tensor: Tensor) -> None:
        """Do not count ``tensor``, which existed before, when an operator gives it back."""
        storage = tensor.untyped_storage()
        self._storages[id(storage)] = weakref.ref(storage)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {id(leaf.untyped_storage()) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and id(tensor.untyped_storage()) not in given:
                self._count(tensor.untyped_storage())
        self.peak_bytes = max(self.peak_bytes, self.bytes)
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        if id(storage) in self._storages:
            return
        key, size = id(storage), storage.nbytes()

        def gone(_: weakref.ref[torch.UntypedStorage]) -> None:
            self.bytes -= size
            self._storages.pop(key, None)

        self._storages[key] = weakref.ref(storage, gone)
        self.bytes += size


def peak_bytes(run: Callable[[], T]) -> tuple[int, T]:
    """The most bytes of tensors that ``run`` makes and holds at once, what it returns included, and what it returns."""
    with LiveTensors() as live, torch.no_grad():
        result = run()
    return live.peak_bytes, result
