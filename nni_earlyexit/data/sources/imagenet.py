"""ImageNet (ILSVRC 2012), 1,331,167 images in 1,000 classes, in the folders that torchvision's ``ImageNet`` makes.

``root`` holds ``train/`` and ``val/``, which is the test split, with a folder per class, and ``meta.bin`` with the names of the
classes; or the archives that image-net.org gives to those who ask, which torchvision unpacks. It cannot be downloaded.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from nni_earlyexit.data import image_files, images
from nni_earlyexit.data.image_files import ImageFiles
from nni_earlyexit.data.raw import Raw
from nni_earlyexit.data.settings import DataSettings
from nni_earlyexit.utils import progress
from nni_earlyexit.utils.files import claimed
from nni_earlyexit.utils.paths import expanded
from nni_earlyexit.utils.progress import Say

PATH = ""
RESIZES = True

UNPACKED = {
    "meta.bin": "ILSVRC2012_devkit_t12.tar.gz",
    "train": "ILSVRC2012_img_train.tar",
    "val": "ILSVRC2012_img_val.tar",
}
"""What has to be there, and the archive that torchvision makes it from."""


def files(settings: DataSettings) -> list[str]:
    """The small file with the names of the classes, or the archive that it is made from: the images are too many."""
    meta, archive = (Path(settings.root, name) for name in ("meta.bin", UNPACKED["meta.bin"]))
    return [str(meta if expanded(meta).exists() else archive)]


def check(settings: DataSettings, path: str) -> None:
    """``FileNotFoundError`` unless folders or archives are there."""
    root = expanded(settings.root)
    for name, archive in UNPACKED.items():
        if not (root / name).exists() and not (root / archive).exists():
            raise FileNotFoundError(
                f"root: there is neither {name!r} nor {archive!r} in {settings.root!r}; 'imagenet' cannot be downloaded, its "
                "archives come from image-net.org, and --root names their folder"
            )
    if settings.input_shape is not None:
        images.check_shape(settings.input_shape)


def listing(settings: DataSettings, path: str, say: Say = progress.say) -> ImageFiles:
    """The images, of archives unpacked before."""
    root = expanded(settings.root)
    if not _is_unpacked(root):
        _unpack(root, say)
    return image_files.listed(settings.root, {"train": "", "val": "test"})


def read(settings: DataSettings, path: str, say: Say) -> Raw:
    """The images."""
    listed = listing(settings, path, say)
    by_folder = _names(expanded(settings.root))
    names = tuple(by_folder.get(wordnet, wordnet) for wordnet in listed.class_names)
    return images.from_files("imagenet", "imagenet", replace(listed, class_names=names), settings, say)


def _is_unpacked(root: Path) -> bool:
    return all((root / name).exists() and not _mark(root, name).exists() for name in UNPACKED)


def _mark(root: Path, part: str) -> Path:
    """The file that is there while torchvision unpacks a part, whose folder it would take for whole afterwards."""
    return root / f".{part}.unpacking"


def _unpack(root: Path, say: Say) -> None:
    """Let torchvision unpack the archives, which it checks first."""
    from torchvision.datasets import ImageNet

    with claimed(root, lambda: say("waits for another process that unpacks imagenet")):
        if _is_unpacked(root):
            return  # by that process
        for part in ("train", "val"):
            folder, mark = root / part, _mark(root, part)
            if mark.exists() and folder.exists():
                raise ValueError(
                    f"root: the unpacking of {str(folder)!r} was interrupted; remove it and {str(mark)!r} to begin again"
                )
            if not folder.exists():
                mark.touch()
            say(f"torchvision unpacks imagenet's {part} in {root}, which may take an hour")
            try:
                ImageNet(str(root), split=part)
            except RuntimeError as error:
                raise ValueError(f"root: {' '.join(str(error).split())}") from None
            finally:
                if not folder.exists():  # nothing was begun
                    mark.unlink(missing_ok=True)
            mark.unlink(missing_ok=True)


def _names(root: Path) -> dict[str, str]:
    """Names of the classes by their folders: the first of their synonyms."""
    import torch

    try:
        synonyms, _ = torch.load(
            root / "meta.bin", weights_only=True
        )  # as torchvision does; it unpickles plain data only
    except Exception as error:  # of several modules, for a damaged file can hold anything
        raise ValueError(
            f"root: 'meta.bin' in {str(root)!r} is not what torchvision writes: {type(error).__name__}; without it, "
            "torchvision makes it again"
        ) from None
    return {str(wordnet): str(names[0]) for wordnet, names in synonyms.items()}
