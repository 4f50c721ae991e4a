"""Fashion-MNIST, 70,000 grey images of (1, 28, 28) in 10 classes, as torchvision reads them."""

from __future__ import annotations

from nni_earlyexit.data.raw import Raw
from nni_earlyexit.data.settings import DataSettings
from nni_earlyexit.data.sources._torchvision import WholeSet
from nni_earlyexit.utils.progress import Say

PATH = ""
RESIZES = False

SET = WholeSet(
    "fashion_mnist",
    tuple(
        f"FashionMNIST/raw/{name}-ubyte"
        for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    ),
    (1, 28, 28),
    lambda datasets, where: [datasets.FashionMNIST(train=train, **where) for train in (True, False)],
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
