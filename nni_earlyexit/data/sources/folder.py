"""Images in folders of classes, as torchvision's ``ImageFolder`` has them; see :mod:`nni_earlyexit.data.image_files`."""

from __future__ import annotations

from nni_earlyexit.data import image_files, images
from nni_earlyexit.data.image_files import ImageFiles
from nni_earlyexit.data.raw import Raw
from nni_earlyexit.data.settings import DataSettings
from nni_earlyexit.utils.paths import expanded
from nni_earlyexit.utils.progress import Say

PATH = "PATH"
RESIZES = True


def check(settings: DataSettings, path: str) -> None:
    """``FileNotFoundError`` unless the folder is there."""
    if not expanded(path).is_dir():
        raise FileNotFoundError(f"data: there is no folder {path!r}")
    if settings.input_shape is not None:
        images.check_shape(settings.input_shape)


def listing(settings: DataSettings, path: str) -> ImageFiles:
    """The images in the folder."""
    return image_files.listed(path)


def read(settings: DataSettings, path: str, say: Say) -> Raw:
    """The images in the folder."""
    return images.from_files("folder", path, listing(settings, path), settings, say)
