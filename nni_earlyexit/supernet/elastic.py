"""A choice between layers in a supernet, in which smaller layers of a kind use a part of the weights of the largest one.

NNI's own supernet layer gives every candidate weights of its own, so that each learns from one step in nine where there are
nine. In Once-for-All (Cai et al., 2020) all learn from every step: a narrower layer takes the first channels of the widest,
and a smaller kernel the middle of the largest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from nni.mutable import Categorical
from nni.nas.nn.pytorch import LayerChoice
from nni_earlyexit.space.oneshot import SampledChoice
from torch import Tensor, nn
from torch.func import functional_call


class ElasticLayer(SampledChoice):
    """One of several layers, as it is sampled.

    Parameters
    ----------
    candidates
        The layers by their names. The largest of each kind keeps its weights, and the others, which have none of their own
        then, use a part of them.
    choice
        The choice between the names.
    """

    def __init__(self, candidates: Mapping[str, nn.Module], choice: Categorical) -> None:
        super().__init__()
        self.add_mutable(choice)
        self.choice = choice
        owners: dict[str, nn.Module] = {}
        self._owner_of: dict[str, str] = {}
        for name, module in sorted(candidates.items(), key=lambda item: -_size(item[1])):
            owner = next((other for other, whole in owners.items() if _is_part(module, whole)), name)
            owners.setdefault(owner, module)
            self._owner_of[name] = owner
        self.owners = nn.ModuleDict(owners)
        # no children, whose weights they would be, and without memory for any
        self._forms = {name: candidates[name].to("meta") for name in candidates if name not in owners}
        self._parts = {name: _parts(form, owners[self._owner_of[name]]) for name, form in self._forms.items()}

    def layer(self, name: str) -> tuple[nn.Module, dict[str, Tensor]]:
        """The layer called ``name``, and its weights and buffers: parts of those of the largest of its kind."""
        if name in self.owners:
            owner = self.owners[name]
            return owner, {**dict(owner.named_parameters()), **dict(owner.named_buffers())}
        return self._forms[name], {part.name: part.tensor() for part in self._parts[name]}

    def forward(self, x: Tensor) -> Tensor:
        """The output of the sampled layer; ``RuntimeError`` before one is sampled."""
        name = self.sampled
        y: Tensor
        if name in self.owners:
            y = self.owners[name](x)
            return y
        module, tensors = self.layer(name)
        if module.training != self.training:
            module.train(self.training)
        y = functional_call(module, tensors, (x,), tie_weights=False)  # none are, and looking for them takes long
        return y

    @classmethod
    def mutate(
        cls, module: nn.Module, name: str, memo: Mapping[str, Any], mutate_kwargs: Mapping[str, Any]
    ) -> tuple[ElasticLayer, bool] | None:
        """NNI's hook that replaces a ``LayerChoice``."""
        if isinstance(module, LayerChoice) and type(module) is LayerChoice:
            return cls({key: module[key] for key in module.names}, module.choice), True
        return None


class _Part(NamedTuple):
    """A tensor of a smaller layer: a part of one of the largest layer, found once, for a step has hundreds of them."""

    name: str
    holder: nn.Module
    attribute: str
    cuts: tuple[tuple[int, int, int], ...]

    def tensor(self) -> Tensor:
        """The part as it is now; the holder's tensor may be another one by now, on another device."""
        tensor: Tensor = getattr(self.holder, self.attribute)
        for cut in self.cuts:
            tensor = tensor.narrow(*cut)
        return tensor


def _parts(form: nn.Module, whole: nn.Module) -> list[_Part]:
    """The parts of ``whole`` that make ``form``: the first channels, and the middle of a kernel."""
    parts = []
    for name, tensor in {**dict(form.named_parameters()), **dict(form.named_buffers())}.items():
        path, _, attribute = name.rpartition(".")
        holder = whole.get_submodule(path)
        cuts = tuple(
            (dimension, (large - small) // 2 if dimension >= 2 else 0, small)
            for dimension, (large, small) in enumerate(zip(getattr(holder, attribute).shape, tensor.shape, strict=True))
            if large != small
        )
        parts.append(_Part(name, holder, attribute, cuts))
    return parts


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _is_part(module: nn.Module, whole: nn.Module) -> bool:
    """``True`` if ``module`` is made as ``whole`` is, and no tensor of it is larger."""
    if [(n, type(m)) for n, m in module.named_modules()] != [(n, type(m)) for n, m in whole.named_modules()]:
        return False
    own, others = module.state_dict(), whole.state_dict()
    return own.keys() == others.keys() and all(
        own[name].dim() == others[name].dim()
        and all(a <= b for a, b in zip(own[name].shape, others[name].shape, strict=True))
        for name in own
    )
