"""Weights from a safetensors file."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn


def read_weights(weights: str) -> dict[str, Tensor]:
    """The tensors of the safetensors file ``weights`` by their names.

    Raises ``FileNotFoundError`` when there is no such file, ``ValueError`` when it is of another kind.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not Path(weights).is_file():
        raise FileNotFoundError(f"weights: there is no file {weights!r}")
    try:
        return load_file(weights)
    except SafetensorError as error:
        raise ValueError(f"weights: {weights!r} is not a safetensors file: {error}") from None


def fill(model: nn.Module, state: dict[str, Tensor], weights: str) -> None:
    """Load ``state`` into ``model``; ``ValueError`` that names the file ``weights`` unless names and shapes agree."""
    own = model.state_dict()
    for name in (*own, *state):
        if name not in state:
            raise ValueError(f"weights: {weights!r} lacks {name!r}")
        if name not in own:
            raise ValueError(f"weights: {weights!r} holds {name!r}, which the model does not have")
        if own[name].shape != state[name].shape:
            raise ValueError(
                f"weights: {name!r} has shape {tuple(state[name].shape)} in {weights!r}, {tuple(own[name].shape)} in the model"
            )
    model.load_state_dict(state)


def time_of_change(weights: str) -> float:
    """The time at which the file ``weights`` was written last; 0 where there is none."""
    return Path(weights).stat().st_mtime if Path(weights).is_file() else 0.0
