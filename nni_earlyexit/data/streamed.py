"""Inputs that are made when they are read, where the cache would be too large for them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from nni_earlyexit.data.image_files import ImageFiles
from nni_earlyexit.data.raw import Inputs
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class FileInputs:
    """Images that are decoded each time, as large as the network takes them."""

    files: ImageFiles
    input_shape: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.files)

    def read(self, positions: NDArray[np.integer]) -> Tensor:
        """The images at ``positions``, with as many threads as torch has; one in the processes of a DataLoader."""
        import torch
        from nni_earlyexit.data.decoding import decoded

        channels, height, width = self.input_shape
        images = np.empty((len(positions), height, width, channels), dtype=np.uint8)

        def decode(place: int) -> None:
            images[place] = decoded(self.files.path(int(positions[place])), self.input_shape)

        threads = min(torch.get_num_threads(), len(positions))
        if threads > 1:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(decode, range(len(positions))))
        else:
            for place in range(len(positions)):
                decode(place)
        return torch.from_numpy(images).permute(0, 3, 1, 2)

    @property
    def streams(self) -> bool:
        """Every image is decoded."""
        return True

    @property
    def sums(self) -> None:
        """They are not at hand."""


@dataclass(frozen=True)
class ResizedInputs:
    """Images in memory or in the cache that are resized each time."""

    inputs: Inputs
    input_shape: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.inputs)

    def read(self, positions: NDArray[np.integer]) -> Tensor:
        """The images at ``positions``."""
        from nni_earlyexit.nn.preprocessing import resized

        x = self.inputs.read(positions)
        return resized(x.expand(-1, self.input_shape[0], -1, -1), self.input_shape[1:])

    @property
    def streams(self) -> bool:
        """Every image is resized."""
        return True

    @property
    def sums(self) -> None:
        """They are not at hand."""
