"""Safetensors files with a checksum: damage that leaves such a file readable, such as a bit that has turned, is seen, too."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nni_earlyexit.utils.files import write_whole

if TYPE_CHECKING:
    from torch import Tensor

ABOUT, CHECKSUM = "about", "sha256"
"""Names in the metadata."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], about: object) -> None:
    """Write ``tensors``, and facts ``about`` them as JSON, to ``path``, whole or not at all."""
    from safetensors.torch import save

    # copies, for the format takes no two names of one tensor, as a layer that stands twice has them
    whole = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
    facts = json.dumps(about)
    content = save(whole, {ABOUT: facts, CHECKSUM: _checksum(whole, facts)})
    write_whole(path, lambda temporary: temporary.write_bytes(content))


def read_about(path: Path, field: str) -> Any:
    """Facts about the tensors in ``path``, which are not read; raises as :func:`read_tensors` does."""
    return json.loads(_read(path, field, with_tensors=False)[0])


def read_tensors(path: Path, field: str) -> tuple[dict[str, Tensor], Any]:
    """The tensors in ``path``, and the facts about them.

    Raises ``FileNotFoundError``, or ``ValueError`` for a file that is damaged; both name ``field`` and file. A file without a
    checksum is not compared with any.
    """
    facts, checksum, tensors = _read(path, field)
    if checksum is not None and checksum != _checksum(tensors, facts):
        raise ValueError(f"{field}: {str(path)!r} is damaged: its checksum is another one than when it was written")
    return tensors, json.loads(facts)


def _read(path: Path, field: str, *, with_tensors: bool = True) -> tuple[str, str | None, dict[str, Tensor]]:
    """The facts as JSON, the checksum, and the tensors."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise FileNotFoundError(f"{field}: there is no file {str(path)!r}")
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            names = list(file.keys()) if with_tensors else []
            tensors = {name: file.get_tensor(name) for name in names}
        facts = metadata.get(ABOUT, "null")
        json.loads(facts)
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{field}: {str(path)!r} is damaged: {' '.join(str(error).split())[:200]}") from None
    return facts, metadata.get(CHECKSUM), tensors


def _checksum(tensors: Mapping[str, Tensor], facts: str) -> str:
    """SHA-256 of all that such a file holds."""
    import torch

    digest = hashlib.sha256(facts.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
