"""Writing a bundle, and building its network again."""

from __future__ import annotations

import glob
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from nni_earlyexit.deploy import model_card
from nni_earlyexit.deploy.portable import restored
from nni_earlyexit.nn.network import EarlyExitNetwork
from nni_earlyexit.nn.preprocessing import Preprocessing
from nni_earlyexit.runtime.bundle import (
    ALWAYS,
    ARCHITECTURE,
    FLOAT32,
    MANIFEST,
    POLICY,
    WEIGHTS,
    Architecture,
    Bundle,
    DamagedBundle,
    Fitted,
    checksums_of,
    manifest_of,
)
from nni_earlyexit.utils.checks import check_writable
from nni_earlyexit.utils.files import beside, is_left_behind, make_folder, put_folder, write_json
from nni_earlyexit.utils.paths import expanded
from nni_earlyexit.utils.provenance import made_with

Extra = Callable[[Path], list[str]]
"""Writes files to a folder, and gives their names there."""


def save_bundle(
    network: EarlyExitNetwork,
    architecture: Architecture,
    fits: Mapping[str, Fitted],
    folder: str | Path,
    *,
    extras: tuple[Extra, ...] = (),
) -> Bundle:
    """Write a bundle to ``folder``, whole or not at all, in place of one that is there.

    Parameters
    ----------
    network
        The network, with the exits that are left.
    architecture, fits
        As in :class:`~nni_earlyexit.runtime.bundle.Bundle`.
    folder
        The folder, which is new, empty or a bundle.
    extras
        Functions that write more files, such as the segments for onnxruntime.

    Raises
    ------
    ValueError
        For a folder that holds something else.
    """
    from safetensors.torch import save as serialise

    place = check_place(Path(folder))
    part = beside(place)
    _remove_parts(place)
    make_folder(part)
    try:
        weights = {name: tensor.contiguous().cpu().clone() for name, tensor in network.state_dict().items()}
        (part / WEIGHTS).write_bytes(serialise(weights))
        write_json(part / ARCHITECTURE, asdict(architecture))
        names = [name for extra in extras for name in extra(part)]  # they may add to the fits
        write_json(part / POLICY, {numbers: fitted.to_dict() for numbers, fitted in fits.items()})
        model_card.write(part, architecture, fits, names)
        manifest = manifest_of(part, [*ALWAYS, *names, *model_card.PICTURES])
        write_json(part / MANIFEST, {**manifest, "made_with": made_with()})
        put_folder(part, place)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Bundle.load(place)


def _remove_parts(place: Path) -> None:
    """Remove what killed processes have left of bundles that they were writing to ``place``.

    The bundle that was there before, and that such a process had taken away, is put back.
    """
    for path in place.parent.glob(f".{glob.escape(place.name)}.*"):
        if not is_left_behind(path):
            continue
        if path.suffix == ".old" and not place.exists():
            path.rename(place)
        else:
            shutil.rmtree(path, ignore_errors=True)


def check_place(folder: Path) -> Path:
    """The folder as a path from ``/``; ``ValueError`` unless a bundle may be written to it: it is new, empty, or a bundle."""
    place = expanded(folder).resolve()
    if place.exists() and not place.is_dir():
        raise ValueError(f"out: {str(folder)!r} is a file; a folder is needed")
    if place.is_mount():
        raise ValueError(
            f"out: {str(folder)!r} is a mount point, which cannot be put in place at once; a folder in it can"
        )
    check_writable(place.parent, "out")
    if place.is_dir() and any(place.iterdir()) and not _is_bundle(place):
        raise ValueError(f"out: {str(folder)!r} holds something else than a bundle; choose another folder")
    return place


def _is_bundle(folder: Path) -> bool:
    """``True`` if ``folder`` holds the files of a bundle, damaged or not, and no other."""
    try:
        own = {*checksums_of(folder), MANIFEST}
    except (DamagedBundle, OSError):
        return False
    return all(str(path.relative_to(folder)) in own for path in folder.rglob("*") if not path.is_dir())


def load_network(bundle: Bundle | str | Path) -> EarlyExitNetwork:
    """The network of a bundle, with its policy and its preprocessing, in evaluation mode.

    Raises what :meth:`Bundle.load` does, and ``ValueError`` for a space that may not be imported
    (:func:`nni_earlyexit.search_spaces.restore`).
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not isinstance(bundle, Bundle):
        bundle = Bundle.load(bundle)
    own, path = bundle.architecture, bundle.file(WEIGHTS)
    try:
        space = restored(bundle)
    except (ArithmeticError, LookupError, MemoryError, RuntimeError, TypeError) as error:
        raise DamagedBundle(
            f"bundle: {own.space[:200]!r} cannot be built: {' '.join(str(error).split())[:300]}"
        ) from None
    try:
        network = space.freeze(own.sample).keep(own.kept)
        network.load_state_dict(load_file(path))
        network.preprocessing = Preprocessing.from_dict(own.preprocessing)
        fits = (tuple(network.exit_costs), network.num_classes, network.input_shape) == (
            own.exit_costs,
            own.num_classes,
            own.input_shape,
        )
    except (SafetensorError, RuntimeError, LookupError, TypeError, ValueError, ArithmeticError, MemoryError) as error:
        # RuntimeError: of weights of other shapes or names
        raise DamagedBundle(f"bundle: {str(path)!r} does not fit: {' '.join(str(error).split())[:300]}") from None
    if not fits:
        raise DamagedBundle(
            f"bundle: {str(bundle.folder / ARCHITECTURE)!r} does not describe the network that it names"
        )
    network.policy = bundle.fit(FLOAT32).policy
    return network.eval()
