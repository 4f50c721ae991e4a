"""SVHN, 99,289 house numbers of (3, 32, 32) in 10 classes, as torchvision reads them; the extra images are left out."""

from __future__ import annotations

from nni_earlyexit.data.raw import Raw
from nni_earlyexit.data.settings import DataSettings
from nni_earlyexit.data.sources._torchvision import WholeSet
from nni_earlyexit.utils.progress import Say

PATH = ""
RESIZES = False

SET = WholeSet(
    "svhn",
    ("train_32x32.mat", "test_32x32.mat"),
    (3, 32, 32),
    lambda datasets, where: [datasets.SVHN(split=split, **where) for split in ("train", "test")],
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
