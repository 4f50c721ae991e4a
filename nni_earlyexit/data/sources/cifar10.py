"""CIFAR-10, 60,000 images of (3, 32, 32) in 10 classes, as torchvision reads them.

The files are pickles, which could run anything. torchvision unpickles them only after their MD5 checksums were those that it
names, so that they are the published ones; nothing else would make that acceptable.
"""

from __future__ import annotations

from nni_earlyexit.data.raw import Raw
from nni_earlyexit.data.settings import DataSettings
from nni_earlyexit.data.sources._torchvision import WholeSet
from nni_earlyexit.utils.progress import Say

PATH = ""
RESIZES = False

SET = WholeSet(
    "cifar10",
    tuple(
        f"cifar-10-batches-py/{name}"
        for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta")
    ),
    (3, 32, 32),
    lambda datasets, where: [datasets.CIFAR10(train=train, **where) for train in (True, False)],
)


def files(settings: DataSettings) -> list[str]:
    """The files that it needs."""
    return SET.paths(settings)


def check(settings: DataSettings, path: str) -> None:
    """``FileNotFoundError`` unless the files are there, or may be had."""
    SET.check(settings)


def read(settings: DataSettings, path: str, say: Say) -> Raw:
    """The images, with their own test split."""
    return SET.read(settings, say)
