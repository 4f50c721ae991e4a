"""The bank: a folder with one backbone's branches, each trained once.

=========================== =======================================================================================
``bank.json``               the backbone, the data and the recipe that its branches belong to; ``bank.copy.json`` is the same
``backbone.npz``            logits of the backbone's own classifier on the validation and the calibration split
``front.json``              its best networks, once they were looked for (:mod:`nni_earlyexit.bank.known_front`)
``outputs/``                what comes out of the stages (:mod:`nni_earlyexit.bank.stage_outputs`); may be removed
``branches/NAME/``          a trained branch (:mod:`nni_earlyexit.bank.stored_branch`)
=========================== =======================================================================================

Several processes may work in it at once: each branch, and each set of outputs, is made by one of them. A file is there when it
is whole, so that what a killed process has finished is kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from nni_earlyexit.bank import shared_prefix
from nni_earlyexit.bank.branch import Branch, Branches
from nni_earlyexit.bank.learning import GoesOn, learn
from nni_earlyexit.bank.stage_outputs import Backbone, StageOutputs
from nni_earlyexit.bank.stored_branch import StoredBranch
from nni_earlyexit.data.fingerprint import fingerprint
from nni_earlyexit.data.splits import Data, check_fits
from nni_earlyexit.nn import counting
from nni_earlyexit.nn.inference import best_device, example, inference
from nni_earlyexit.nn.layout import in_channels_last
from nni_earlyexit.nn.network import EarlyExitNetwork
from nni_earlyexit.space.base import EarlyExitSpace
from nni_earlyexit.training.augmentation import Augmentation
from nni_earlyexit.training.recipe import ABOUT_SEVERAL_EXITS, Recipe
from nni_earlyexit.training.recipes import AUGMENTATION, AUTO, PLAIN
from nni_earlyexit.utils.files import (
    claimed,
    make_folder,
    read_arrays,
    read_json,
    remove_parts,
    write_arrays,
    write_json,
)
from nni_earlyexit.utils.progress import Say
from numpy.typing import NDArray
from torch import nn

FORMAT = 1
_UNRELATED = ("bank", "threads", "tensorboard")
"""Options of a recipe that change nothing in a branch."""
RECIPE = "branches"
"""The recipe that is used where none is named."""
ABOUT, COPY, BACKBONE, BRANCH = "bank.json", "bank.copy.json", "backbone.npz", "branch.safetensors"


class Bank:
    """The branches of one backbone for one data set.

    Parameters
    ----------
    folder
        The folder of the bank, which is made if it does not exist.
    space
        A space whose backbone is kept.
    data
        The data set.
    recipe
        The recipe by which branches are trained. Its epochs are passes over the training split; with several views, so many
        fewer passes over all of them.
    say
        Hears of the progress.

    Attributes
    ----------
    asked, recipe
        The recipe as it was asked for, with which another process opens the same bank, and with all of its values.

    Raises
    ------
    ValueError
        For a space that trains its backbone, data that do not fit it, options that are about exits together, and a folder that
        holds branches of something else.
    """

    def __init__(
        self,
        folder: Path,
        space: EarlyExitSpace,
        data: Data,
        recipe: Recipe | None = None,
        *,
        say: Say = lambda line: None,
    ) -> None:
        self.branches = Branches(space)
        check_fits(data, space)
        self.folder, self.space, self._say = folder, space, say
        self.data = data.for_network(space)
        recipe = recipe or Recipe()
        check_options(recipe, sentences=self.data.preprocessing.vocabulary is not None)
        self.asked = recipe
        self._views = _views(recipe)
        self.recipe = replace(recipe, recipe=RECIPE if recipe.recipe == AUTO else recipe.recipe).filled(())
        self._read: dict[str, tuple[tuple[int, int], StoredBranch]] = {}  # with the file, as it was then
        make_folder(folder)
        with claimed(folder):
            remove_parts(folder)
            self._check_same()

    # --- what a bank belongs to --------------------------------------------------------------------------------------

    def _about(self) -> dict[str, Any]:
        """Everything that the outputs of a branch depend on beside the branch."""
        training = {name: value for name, value in asdict(self.recipe).items() if name not in _UNRELATED}
        return json.loads(
            json.dumps(
                {
                    "format": FORMAT,
                    "space": self.space.own_identity(without=("folder", "weights")),
                    "backbone": _fingerprint(self._backbone),
                    "data": fingerprint(self.data),
                    "preprocessing": self.data.preprocessing.to_dict(),
                    "training": training,
                }
            )
        )

    def _check_same(self) -> None:
        about, path = self._about(), self.folder / ABOUT
        copies = [path, self.folder / COPY]
        if not any(copy.is_file() for copy in copies):
            if (self.folder / "branches").exists():
                raise ValueError(f"bank: {str(self.folder)!r} has branches and no {ABOUT}; choose another folder")
        elif not any(_holds(copy, about) for copy in copies):
            self._say_the_difference(about, copies)
        for copy in copies:
            if not _holds(copy, about):
                if copy.is_file():
                    self._say(f"{copy} was damaged, and is made again from its copy")
                try:
                    write_json(copy, about)
                except OSError:
                    if not any(_holds(other, about) for other in copies):
                        raise

    def _say_the_difference(self, about: Mapping[str, Any], copies: Sequence[Path]) -> NoReturn:
        read = (_about_in(copy) for copy in copies)
        stored = next((content for content in read if content is not None), None)
        if stored is None:
            raise ValueError(f"bank: {str(copies[0])!r} does not describe a bank; choose another folder")
        for name, value in about.items():
            if stored.get(name) == value:
                continue
            if name == "training" and isinstance(stored.get(name), Mapping):
                theirs = stored[name]
                other = [o for o in {**value, **theirs} if theirs.get(o) != value.get(o)]
                if not other:  # this version has an option that the other one has not, and it is not used
                    break
                option = other[0]
                raise ValueError(
                    f"bank: {str(self.folder)!r} holds branches that were trained with {option}={theirs.get(option)!r}, "
                    f"not {value.get(option)!r}; choose another folder"
                )
            raise ValueError(f"bank: {str(self.folder)!r} holds branches for another {name}; choose another folder")
        raise ValueError(f"bank: {str(copies[0])!r} does not describe a bank of this version; choose another folder")

    # --- the backbone ------------------------------------------------------------------------------------------------

    @cached_property
    def _backbone(self) -> Backbone:
        exits = self.space.network.exits
        prefixes = {stage: shared_prefix.shared_prefix(exits[str(stage)]) for stage in self.branches.stages}
        # with the fewest exits that the rules allow: only what lies between them counts
        network = self._built([]).to(best_device())
        return Backbone(network.stem, list(network.stages), prefixes, network.exits[str(network.exit_stages[-1])])

    def _built(self, branches: Sequence[Branch]) -> EarlyExitNetwork:
        """The network of these ``branches``, with new weights but those of its backbone."""
        return in_channels_last(self.space.freeze(self.branches.sample(branches)).eval())

    @cached_property
    def backbone_macs(self) -> list[int]:
        """MACs of the backbone alone until the end of each stage, its own classifier in the last."""
        backbone = self._backbone
        nothing = [nn.Identity() for _ in backbone.stages]
        x = example(self.space.input_shape, device=best_device())
        with inference(nn.ModuleList([backbone.stem, *backbone.stages, backbone.head])):
            until, own = counting.macs(backbone.stem, backbone.stages, [*nothing[:-1], backbone.head], x)
        return [*until[:-1], until[-1] + own[-1]]

    @cached_property
    def backbone_logits(self) -> dict[str, NDArray[np.float32]]:
        """Logits (inputs, classes) of the backbone's own classifier on the validation and the calibration split."""
        path = self.folder / BACKBONE
        with claimed(self.folder):
            if path.is_file():
                try:
                    return read_arrays(path, "bank")
                except ValueError as error:
                    self._say(f"{error}; it is computed again")
            logits = self._outputs.logits()
            write_arrays(path, logits)
            return logits

    @cached_property
    def _outputs(self) -> StageOutputs:
        return StageOutputs(
            self._backbone,
            self.data,
            self.folder / "outputs",
            Augmentation(self._views, len(self.data.train)),
            views=self.recipe.views,
            say=self._say,
        )

    def stage_outputs(self, stage: int) -> Data:
        """The outputs of ``stage``, computed now unless they are there, as data that its branches learn from."""
        return self._outputs.of(stage)

    # --- the branches ------------------------------------------------------------------------------------------------

    @property
    def passes(self) -> int:
        """Passes over all views of the training inputs in the training of a branch."""
        return max(1, round(self.recipe.epochs / self.recipe.views))

    def get(self, branch: Branch) -> StoredBranch | None:
        """The trained ``branch``; ``None`` where it is still to be trained."""
        return self._stored(self.folder / "branches" / branch.name / BRANCH, "it is trained again")

    def trained(self, stage: int | None = None) -> list[StoredBranch]:
        """Every trained branch that the space can have, or those after ``stage``; those that were given up, too."""
        which = "*" if stage is None else f"stage{stage}-*"
        paths = sorted((self.folder / "branches").glob(f"{which}/{BRANCH}"))
        whole = [stored for path in paths if (stored := self._stored(path, "it is left out")) is not None]
        return [stored for stored in whole if self.branches.holds(stored.branch)]

    def _stored(self, path: Path, otherwise: str) -> StoredBranch | None:
        """The branch in the file ``path``, if there is one that is whole."""
        name = path.parent.name
        try:
            stat = path.stat()
        except FileNotFoundError:
            return None
        version = stat.st_ino, stat.st_mtime_ns
        # another process may have trained one that was given up to its end
        if name not in self._read or self._read[name][0] != version:
            try:
                stored = StoredBranch.load(path)
            except ValueError as error:
                self._say(f"{error}; {otherwise}")
                return None
            here = self.branches.layers(stored.branch) if self.branches.holds(stored.branch) else stored.layers
            if stored.layers not in ("", here):
                self._say(f"bank: the layers of {str(path)!r} are built otherwise now; {otherwise}")
                return None
            self._read[name] = version, stored
        return self._read[name][1]

    def train(self, branch: Branch, goes_on: GoesOn | None = None) -> StoredBranch:
        """The trained ``branch``, which is trained now unless it is there.

        ``goes_on`` may give it up. With it, a branch that was given up before stays so; without, it is trained to its end.
        """

        def usable() -> StoredBranch | None:
            stored = self.get(branch)
            return None if stored is not None and stored.given_up and goes_on is None else stored

        if (stored := usable()) is not None:
            return stored
        place = self.folder / "branches" / branch.name
        make_folder(place)
        with claimed(place):
            if (stored := usable()) is not None:
                return stored  # by another process just now
            outputs = self.stage_outputs(branch.stage)
            drawn = int.from_bytes(hashlib.sha256(f"{self.recipe.seed} {branch.name}".encode()).digest()[:4], "big")
            torch.manual_seed(drawn)  # weights that do not depend on what was trained before
            network = self._built([branch])
            learned = learn(
                branch,
                network.exits[str(branch.stage)],
                outputs,
                replace(self.recipe, epochs=self.passes, seed=drawn),
                prefix=self._backbone.prefixes[branch.stage],
                macs=network.branch_costs[network.exit_stages.index(branch.stage)],
                goes_on=goes_on or (lambda macs, passes, accuracy: True),
            )
            learned = replace(learned, layers=self.branches.layers(branch))
            learned.save(place / BRANCH)
            return learned

    # --- networks ----------------------------------------------------------------------------------------------------

    def costs(self, branches: Sequence[StoredBranch]) -> tuple[list[int], list[int]]:
        """MACs to leave at each exit of the network of ``branches``, and those of each branch alone (the last one's 0)."""
        own = [stored.macs for stored in branches]
        stages = [stored.branch.stage for stored in branches]
        until = [*(self.backbone_macs[stage] for stage in stages), self.backbone_macs[-1]]
        paid = np.cumsum([*own, 0]).tolist()
        return [a + b for a, b in zip(until, paid, strict=True)], [*own, 0]

    def logits(self, branches: Sequence[StoredBranch], part: str = "validation") -> NDArray[np.float32]:
        """Logits (inputs, exits, classes) of the network of ``branches`` on the ``"validation"`` or ``"calibration"`` split."""
        return np.stack([*(getattr(stored, part) for stored in branches), self.backbone_logits[part]], axis=1)

    def network(self, branches: Sequence[StoredBranch]) -> EarlyExitNetwork:
        """The network of ``branches``, assembled: its logits are those that the bank holds, up to rounding."""
        network = self._built([stored.branch for stored in branches])
        self.fill(network, branches)
        network.preprocessing = self.data.preprocessing
        return network

    @staticmethod
    def fill(network: EarlyExitNetwork, branches: Sequence[StoredBranch]) -> None:
        """Give ``network``, which has these ``branches``, their weights."""
        for stored in branches:
            network.exits[str(stored.branch.stage)].load_state_dict(dict(stored.weights))


def check_options(recipe: Recipe, *, sentences: bool = False) -> None:
    """``ValueError`` for options that are about several exits at once, or about the backbone, and for views of sentences."""
    usual = Recipe()
    if sentences and recipe.views > 1:
        raise ValueError(f"views: {recipe.views} is not possible for sentences, of which one is like the other; 1 is")
    for name in (*ABOUT_SEVERAL_EXITS, "train", "weights", "patience"):
        if getattr(recipe, name) != getattr(usual, name):
            raise ValueError(
                f"{name}: {getattr(recipe, name)!r} is not possible with a bank, whose branches learn one by one; leave it out"
            )
    changes_views = ("shift", "mirror", "randaugment") if recipe.views > 1 else ()
    for name in AUGMENTATION:
        if name not in changes_views and getattr(recipe, name) not in (None, PLAIN[name]):
            raise ValueError(
                f"{name}: {getattr(recipe, name)!r} is not possible with a bank, whose branches learn from stored outputs"
                f"{'' if changes_views else ' of the inputs as they are'}; leave it out"
            )


def _about_in(path: Path) -> Mapping[str, Any] | None:
    """The things that the bank of the file ``path`` belongs to, if it can be read."""
    with suppress(OSError, ValueError):
        content = read_json(path, "bank")
        return content if isinstance(content, Mapping) else None
    return None


def _holds(path: Path, about: Mapping[str, Any]) -> bool:
    return _about_in(path) == about


def _views(recipe: Recipe) -> Recipe:
    """The recipe of the changes that views differ by: the user's, and else those of ``fast``."""
    return Recipe(
        recipe="fast", seed=recipe.seed, shift=recipe.shift, mirror=recipe.mirror, randaugment=recipe.randaugment
    ).filled(())


def _fingerprint(backbone: Backbone) -> str:
    """SHA-256 of the backbone: what its layers are, and their weights."""
    digest = hashlib.sha256()
    for part in (backbone.stem, *backbone.stages, backbone.head):
        digest.update(repr(part).encode())
        for name, tensor in part.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
