"""Writing a bundle, and building its network again."""

from __future__ import annotations

import os
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
    manifest_of,
)
from nni_earlyexit.utils.files import write_json

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

    place = Path(folder)
    check_place(place)
    part = place.with_name(f".{place.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        weights = {name: tensor.contiguous().cpu() for name, tensor in network.state_dict().items()}
        (part / WEIGHTS).write_bytes(serialise(weights))
        write_json(part / ARCHITECTURE, asdict(architecture))
        names = [name for extra in extras for name in extra(part)]  # they may add to the fits
        write_json(part / POLICY, {numbers: fitted.to_dict() for numbers, fitted in fits.items()})
        model_card.write(part, architecture, fits, names)
        write_json(part / MANIFEST, manifest_of(part, [*ALWAYS, *names, *model_card.PICTURES]))
        old = place.with_name(f".{place.name}.{os.getpid()}.old.part")
        if place.exists():
            os.replace(place, old)
        os.replace(part, place)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Bundle.load(place)


def check_place(folder: Path) -> None:
    """``ValueError`` unless a bundle may be written to ``folder``: it is new, empty, or a bundle."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"out: {str(folder)!r} is a file; a folder is needed")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST).is_file():
        raise ValueError(f"out: {str(folder)!r} holds something else than a bundle; choose another folder")


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
    space = restored(bundle)
    try:
        network = space.freeze(own.sample).keep(own.kept)
        network.load_state_dict(load_file(path))
        network.preprocessing = Preprocessing.from_dict(own.preprocessing)
        fits = (tuple(network.exit_costs), network.num_classes, network.input_shape) == (
            own.exit_costs,
            own.num_classes,
            own.input_shape,
        )
    except (SafetensorError, RuntimeError, LookupError, TypeError, ValueError) as error:
        # RuntimeError: of weights of other shapes or names
        raise DamagedBundle(f"bundle: {str(path)!r} does not fit: {' '.join(str(error).split())[:300]}") from None
    if not fits:
        raise DamagedBundle(
            f"bundle: {str(bundle.folder / ARCHITECTURE)!r} does not describe the network that it names"
        )
    network.policy = bundle.fit(FLOAT32).policy
    return network.eval()
