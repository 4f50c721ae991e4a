"""Networks on tokens: the first layer, blocks that leave padding out, and the classifier.

Inside a network, padding is a vector of zeros, so that it needs no mask beside the tensor.
"""

from __future__ import annotations

import torch
from nni.nas.profiler.pytorch.flops import FlopsResult
from nni.nas.profiler.pytorch.utils.shape import MutableShape, ShapeTensor
from nni_earlyexit.utils.checks import one_of
from timm.layers import Mlp, PatchEmbed
from timm.models.vision_transformer import Block
from torch import Tensor, nn

PADDING = 0
"""The token id of padding."""


def is_token(x: Tensor) -> Tensor:
    """Mask (batch, tokens) of the tokens ``x`` (batch, tokens, channels) that are no padding."""
    return (x != 0).any(dim=-1)


class _KeepsShape(nn.Module):
    """A module whose output has the shape of its input, as it tells NNI's profiler."""

    def _shape_forward(self, x: ShapeTensor) -> MutableShape:
        return x.real_shape


class TokenMlp(_KeepsShape):
    """The second half of a transformer block alone."""

    def __init__(self, channels: int, ratio: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.mlp = Mlp(channels, channels * ratio)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens of the same shape (batch, tokens, channels)."""
        return x + self.mlp(self.norm(x))


class PaddedAttention(_KeepsShape):
    """A transformer block in which padding neither takes part nor changes: it comes in and goes out as zeros."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        """Tokens of the same shape (batch, tokens, channels), padding zero."""
        there = is_token(x)
        # finite, because a row without any token must not become NaN
        mask = torch.zeros_like(there, dtype=x.dtype).masked_fill_(~there, torch.finfo(x.dtype).min / 2)
        return self.block(x, attn_mask=mask[:, None, None, :]) * there[..., None]


class PaddedMlp(_KeepsShape):
    """A block that works on each token alone, and leaves padding zero."""

    def __init__(self, block: TokenMlp) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        """Tokens of the same shape (batch, tokens, channels), padding zero."""
        return self.block(x) * is_token(x)[..., None]


class ImageTokens(nn.Module):
    """Patches of an image as tokens, with a learned vector for each place."""

    def __init__(self, resolution: int, patch: int, channels: int, in_chans: int = 3) -> None:
        super().__init__()
        self.patches = PatchEmbed(resolution, patch, in_chans, channels)
        self.places = nn.Parameter(torch.empty(1, self.patches.num_patches, channels))
        nn.init.trunc_normal_(self.places, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (batch, tokens, channels) of images (batch, in_chans, resolution, resolution)."""
        return self.patches(x) + self.places

    def _shape_forward(self, x: ShapeTensor) -> MutableShape:
        return MutableShape(x.real_shape[0], *self.places.shape[1:])


class WordTokens(nn.Module):
    """Token ids (batch, tokens) as vectors, with a learned one for each place; padding becomes zeros."""

    def __init__(self, vocabulary: int, tokens: int, channels: int) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, channels)
        self.places = nn.Parameter(torch.empty(tokens, channels))
        nn.init.trunc_normal_(self.words.weight, std=0.02)
        nn.init.trunc_normal_(self.places, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        """Tokens (batch, tokens, channels) of ids (batch, tokens)."""
        return (self.words(ids) + self.places[: ids.shape[1]]) * (ids != PADDING)[..., None]

    def _shape_forward(self, ids: ShapeTensor) -> MutableShape:
        return MutableShape(*ids.real_shape, self.words.embedding_dim)


def vocabulary_of(network: object) -> int | None:
    """Number of different token ids that a network, or a space of networks, takes; ``None`` of one on anything else."""
    module = network if isinstance(network, nn.Module) else getattr(network, "network", None)
    parts = module.modules() if isinstance(module, nn.Module) else ()
    return next((part.words.num_embeddings for part in parts if isinstance(part, WordTokens)), None)


class ChannelsFirst(nn.Module):
    """Images (batch, height, width, channels) as (batch, channels, height, width)."""

    def forward(self, x: Tensor) -> Tensor:
        """The images (batch, channels, height, width)."""
        return x.permute(0, 3, 1, 2)

    def _shape_forward(self, x: ShapeTensor) -> MutableShape:
        batch, height, width, channels = x.real_shape
        return MutableShape(batch, channels, height, width)

    def _count_flops(self, x: tuple[MutableShape, ...], y: tuple[MutableShape, ...]) -> FlopsResult:
        return FlopsResult(0, 0)


class TokenPool(nn.Module):
    """Tokens (batch, tokens, channels) as one vector: their average, or, ``catavgmax``, also their maximum behind it."""

    def __init__(self, pool_type: str = "avg", padded: bool = False) -> None:
        super().__init__()
        one_of(("avg", "catavgmax"))("pool_type", pool_type)
        self.with_max = pool_type == "catavgmax"
        self.padded = padded

    def forward(self, x: Tensor) -> Tensor:
        """One vector for each input: (batch, channels), or (batch, 2 * channels) with the maximum."""
        if not self.padded:
            average, largest = x.mean(dim=1), x.amax(dim=1) if self.with_max else None
        else:
            there = is_token(x)[..., None]
            average = x.sum(dim=1) / there.sum(dim=1).clamp(min=1)
            # a sentence without any token has zeros
            largest = x.masked_fill(~there & there.any(dim=1, keepdim=True), -torch.inf).amax(dim=1)
        return torch.cat([average, largest], dim=1) if self.with_max and largest is not None else average

    def _shape_forward(self, x: ShapeTensor) -> MutableShape:
        return MutableShape(x.real_shape[0], x.real_shape[-1] * (2 if self.with_max else 1))

    def _count_flops(self, x: tuple[MutableShape, ...], y: tuple[MutableShape, ...]) -> FlopsResult:
        return FlopsResult(0, 0)

    def extra_repr(self) -> str:
        """The settings, for ``repr``."""
        return f"with_max={self.with_max}, padded={self.padded}"


def token_head(channels: int, num_classes: int, pool_type: str = "avg", padded: bool = False) -> nn.Module:
    """A classifier of tokens: pooled, normalised, and one linear layer."""
    pooled = channels * (2 if pool_type == "catavgmax" else 1)
    return nn.Sequential(TokenPool(pool_type, padded), nn.LayerNorm(pooled), nn.Linear(pooled, num_classes))
