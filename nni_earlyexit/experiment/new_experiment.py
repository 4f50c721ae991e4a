"""A new experiment: the file and the search space for a data set, a space and a budget, each looked at before it is written."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nni_earlyexit import data, search_spaces, strategies
from nni_earlyexit.data import registry
from nni_earlyexit.data.outline import Outline, outline
from nni_earlyexit.data.settings import DataSettings
from nni_earlyexit.evaluation.space_for_data import space_for_data
from nni_earlyexit.integration.trial_arguments import MODULE
from nni_earlyexit.search.limits import Limits
from nni_earlyexit.space import identity
from nni_earlyexit.space.base import EarlyExitSpace
from nni_earlyexit.space.latency_table import latencies
from nni_earlyexit.space.search_domain import check_limits
from nni_earlyexit.training.recipe import Recipe
from nni_earlyexit.training.settings import Settings
from nni_earlyexit.utils import files
from nni_earlyexit.utils.amounts import format_macs, parse_amount, parse_duration
from nni_earlyexit.utils.checks import check_writable, whole_number
from nni_earlyexit.utils.options import options

EXPERIMENT, SEARCH_SPACE = "experiment.yml", "search_space.json"
COMMENTS_FROM = 36
"""Column of the comments behind fields."""
MACS_LIMITS = ("max_avg_macs", "max_full_macs")


@dataclass(frozen=True)
class Plan:
    """An experiment that is to be made; ``ValueError`` for what cannot be.

    Attributes
    ----------
    settings
        Settings of its trials: data, epochs and limits.
    space
        The space with its arguments; resolution and number of classes follow the data where they are not said.
    strategy
        Name of the strategy.
    trials
        Most trials; ``None`` for any number, if there is a limit of time.
    time
        Most time, such as ``2h``.
    concurrency
        Trials at a time.
    name
        Its name in NNI's web UI; one that says the data by default.
    """

    settings: Settings
    space: str
    strategy: str = "surrogate"
    trials: int | None = 100
    time: str | None = None
    concurrency: int = 2
    name: str = ""

    def __post_init__(self) -> None:
        strategies.check_name(self.strategy)
        if self.trials is None and self.time is None:
            raise ValueError("trials: a search without an end is not possible; give trials, time, or both")
        if self.trials is not None:
            whole_number(1)("trials", self.trials)
        if self.time is not None:
            parse_duration(self.time)
        whole_number(1)("concurrency", self.concurrency)


@dataclass(frozen=True)
class MacsRange:
    """MACs of the cheapest and of the dearest network of a space to its last exit, and the least to a first exit."""

    least: int
    most: int
    first_exit: int

    def __str__(self) -> str:
        return (
            f"{format_macs(self.least)} to {format_macs(self.most)} MACs to the last exit, "
            f"at least {format_macs(self.first_exit)} to the first one"
        )


@dataclass(frozen=True)
class Draft:
    """The content of the two files, and what was seen of the data and the space."""

    plan: Plan
    outline: Outline
    space: EarlyExitSpace
    reach: MacsRange

    def experiment(self, file: str = EXPERIMENT) -> str:
        """The experiment file with its comments, which call it ``file``."""
        return "\n".join([*_head(self, file), *_trial(self), *_search(self.plan)]) + "\n"

    def search_space(self) -> dict[str, Any]:
        """The search space file."""
        return self.space.search_space()


def sentence_on(seen: Outline) -> str:
    """Inputs and classes of a data set, in words."""
    if seen.pixels is not None:
        return f"images of {seen.pixels} pixels on a side, typically, in {seen.num_classes} classes"
    if seen.tokens is not None:
        return f"sentences of {seen.tokens} tokens in {seen.num_classes} classes"
    return f"inputs that are no images, in {seen.num_classes} classes"


def fitting_space(settings: DataSettings, seen: Outline) -> str:
    """The space to begin with."""
    if seen.tokens is not None:
        return "text"
    in_files = registry.parse(settings.source).module.RESIZES
    return "digits" if seen.pixels == 8 and not in_files else "mobilenetv3"


def space_of(space: str, settings: DataSettings) -> EarlyExitSpace:
    """The space for the data, with resolution and classes of theirs; ``ValueError`` if it cannot be or does not take them."""
    made = space_for_data(space, settings)
    if not registry.parse(settings.source).module.RESIZES:  # images in files are made as large as the space takes them
        data.check_fits(data.load_settings(settings.for_shape(made.input_shape), 0), made)
    return made


def macs_range(space: EarlyExitSpace) -> MacsRange:
    """The range of MACs of the networks of ``space``."""
    least, most = (space.extreme(space.exit_costs, exit=-1, most=most)[1] for most in (False, True))
    return MacsRange(int(least), int(most), int(space.cheapest(exit=0)[1]))


def check_budget(space: EarlyExitSpace, reach: MacsRange, limits: Limits) -> None:
    """``ValueError`` that says the range for a limit that no network keeps, or that every network does."""
    try:
        check_limits(space, limits, latencies(limits.latency_table, space))
    except ValueError as error:
        if not str(error).startswith(MACS_LIMITS):
            raise
        raise ValueError(f"{error}; its networks take {reach}") from None
    for name in MACS_LIMITS:
        limit = getattr(limits, name)
        if limit is not None and limit > reach.most:
            raise ValueError(
                f"{name}: {format_macs(limit)} is above the dearest network of space {space.identity()}, so it limits nothing; "
                f"its networks take {reach}"
            )


def draft(plan: Plan) -> Draft:
    """The files of ``plan``; ``ValueError`` or ``FileNotFoundError`` where data, space or budget cannot be."""
    seen = outline(plan.settings.data)
    space = space_of(plan.space, plan.settings.data)
    reach = macs_range(space)
    check_budget(space, reach, plan.settings.limits)
    return Draft(plan, seen, space, reach)


def check_folder(folder: Path, force: bool = False) -> None:
    """``FileExistsError`` for a file that is there, if not by ``force``; ``ValueError`` where none can be written."""
    check_writable(folder, "out")
    for name in (EXPERIMENT, SEARCH_SPACE):
        if (folder / name).exists() and not force:
            raise FileExistsError(f"out: {str(folder / name)!r} is there already; --force writes over it")


def write(made: Draft, folder: Path, force: bool = False) -> Path:
    """Write both files to ``folder``, each whole or not at all, the experiment file last; its path."""
    check_folder(folder, force)
    files.make_folder(folder)
    path = folder / EXPERIMENT
    text = made.experiment(shlex.quote(str(path)))

    def both(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8")
        files.write_json(folder / SEARCH_SPACE, made.search_space())

    files.write_whole(path, both)
    return path


def _head(made: Draft, file: str) -> Iterator[str]:
    plan, source = made.plan, made.plan.settings.data.source
    name = plan.name or f"early exits for {Path(source.partition(':')[2]).name or source}"
    yield f"# Search early-exit networks for {source}: {sentence_on(made.outline)}. Run it with one of"
    yield f"#   nni-earlyexit run {file}            checks the file, shows progress, writes the front"
    yield f"#   nni-earlyexit run {file} --quick    the same in three minutes, to try it out"
    yield f"#   nnictl create --config {file}"
    yield f"experimentName: {_scalar(name)}"
    yield _commented(f"searchSpaceFile: {SEARCH_SPACE}", f"written by: nni-earlyexit space {made.space.identity()}")


def _trial(made: Draft) -> Iterator[str]:
    words = list(_words(made))
    yield f"# The networks of this space take {made.reach}."
    yield "# Options of a trial, and limits, which the tuner keeps, too; all there are: nni-earlyexit settings"
    width = max(len(" ".join(option.words)) for option in words)
    for option in words:
        yield f"#   {' '.join(option.words):<{width}}  {option.help}"
    command = " ".join(["python", "-m", MODULE, *(shlex.quote(word) for option in words for word in option.words)])
    yield f"trialCommand: {_scalar(command)}"


def _search(plan: Plan) -> Iterator[str]:
    yield _commented(
        f"trialConcurrency: {plan.concurrency}",
        "trials at a time; with GPUs, as many as there are, and trialGpuNumber: 1",
    )
    if plan.trials is not None:
        yield _commented(f"maxTrialNumber: {plan.trials}", "networks that are tried, at most")
    if plan.time is not None:
        yield _commented(f"maxExperimentDuration: {plan.time}", "then trials that run have a little time to end")
    yield "tuner:"
    yield _commented("  name: EarlyExit", "registered by: nni-earlyexit register")
    yield "  classArgs:"
    yield _commented(f"    strategy: {plan.strategy}", "others, and their arguments: nni-earlyexit strategies")
    yield "    objectives: {accuracy: max, avg_macs: min}"
    yield _commented("    seed: 0", "another one searches otherwise")
    yield "trainingService:"
    yield "  platform: local"


@dataclass(frozen=True)
class _Option:
    """An option of the trial's command as it is written there, and its meaning."""

    words: list[str] = field(default_factory=list)
    help: str = ""


def _words(made: Draft) -> Iterator[_Option]:
    """The options of the trials' command that are not what they are by default, and the data and epochs in any case."""
    settings = made.plan.settings.with_whole_paths()
    for part in (settings.data, settings.training, settings.limits):
        for option in options(type(part)):
            value = getattr(part, "source" if option.name == "data" else option.name)
            if value != option.default or option.name in ("data", "epochs"):
                yield _Option([f"--{option.name.replace('_', '-')}", *_written(value)], option.help)
    wanted = identity.parse(made.space.identity())
    if wanted.name == search_spaces.FUNCTION:
        yield _Option(["--allow-space", str(wanted.arguments["model"])], "function of your own that makes the network")
    elif "." in wanted.name:
        yield _Option(["--allow-space", wanted.name], "module of your own that has the space")


def _written(value: Any) -> list[str]:
    """The words of a value on a command line; none for one that is switched on."""
    if value is True:
        return []
    if isinstance(value, (tuple, list)):
        return [word for part in value for word in _written(part)]
    if isinstance(value, float):
        short = format_macs(value) if value >= 1 else ""
        return [short if short and parse_amount(short) == value else f"{value:.17g}".removesuffix(".0")]
    return [str(value)]


def _commented(line: str, comment: str) -> str:
    return f"{line:<{COMMENTS_FROM}} # {comment}"


def _scalar(text: str) -> str:
    """``text`` as a value in YAML, quoted where it could be read as something else."""
    plain = re.fullmatch(r"[A-Za-z][\w ./=,%~+-]*(:[\w./~=,+-][\w ./=,%~+-]*)?", text) and text == text.strip()
    if plain and text.lower() not in ("true", "false", "null", "yes", "no"):
        return text
    return json.dumps(text, ensure_ascii=False)  # YAML takes no pairs of surrogates


def settings_of(data: DataSettings, limits: Limits, epochs: int | None = None) -> Settings:
    """Settings of trials, by default as long as those of a trial are."""
    return Settings(data, Recipe() if epochs is None else Recipe(epochs=epochs), limits=limits)
