"""Checking an NNI experiment file before anything starts.

``nnictl create`` accepts many files that cannot work and says so only in a log, if at all. Here each mistake is one
sentence that names the field, the value and what would be right. Cheap checks come first.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from nni_earlyexit import search_spaces
from nni_earlyexit.data import registry
from nni_earlyexit.data.settings import DataSettings
from nni_earlyexit.experiment.environment import environment, programs
from nni_earlyexit.experiment.workers import check_workers, files_in
from nni_earlyexit.integration import trial_arguments
from nni_earlyexit.integration.search_space_file import written_identity
from nni_earlyexit.integration.tuner_arguments import TunerArguments
from nni_earlyexit.search.successive_halving import SuccessiveHalving
from nni_earlyexit.space.identity import check_same
from nni_earlyexit.space.identity import parse as parse_identity
from nni_earlyexit.training.settings import Settings
from nni_earlyexit.utils import files
from nni_earlyexit.utils.amounts import parse_duration
from nni_earlyexit.utils.checks import Check, check_writable, whole_number
from nni_earlyexit.utils.paths import expanded
from nni_earlyexit.utils.progress import say
from nni_earlyexit.utils.tensors import read_tensors

if TYPE_CHECKING:
    from nni_earlyexit.search.ask_tell import AskTell
    from nni_earlyexit.search.domain import Domain
    from nni_earlyexit.space.base import EarlyExitSpace

TUNER, ASSESSOR = "EarlyExit", "EarlyExitHalving"


@dataclass(frozen=True)
class ExperimentFile:
    """A checked experiment file."""

    path: Path
    space: str
    settings: Settings
    concurrency: int
    max_trials: int | None
    max_seconds: float | None
    working_directory: Path
    service: Mapping[str, Any]

    @property
    def platform(self) -> str:
        """The name of NNI's training service."""
        return str(self.service["platform"])


def check(path: Path) -> ExperimentFile:
    """Check the experiment file at ``path``; ``ValueError`` or ``FileNotFoundError`` in one sentence when it cannot work."""
    content = read(path)
    base = path.parent.resolve()
    folder = base / expanded(content.get("trialCodeDirectory", "."))  # in which NNI starts trials
    given = _check_command(_need(content, "trialCommand"), folder)
    settings = replace(given.settings, data=given.settings.data.with_whole_paths(folder))
    try:
        settings.check_there()
    except (ValueError, OSError) as error:
        raise ValueError(f"trialCommand: {error}") from None
    for name in given.allow_spaces:
        search_spaces.allow(name)
    tuner = _need(content, "tuner")
    arguments = None
    if isinstance(tuner, Mapping) and tuner.get("name") == TUNER:
        arguments = TunerArguments.parse(tuner.get("classArgs"))
        table = arguments.agreed_limits(settings.limits).latency_table
        if table is not None and not expanded(table).is_absolute():
            raise ValueError(
                f"latency_table: {table!r} is not possible; a path from / is, as NNI starts tuner and trials in folders of "
                "its own"
            )
    for name in ("bank", "weights"):
        file = getattr(settings.training, name)
        if file is not None and not expanded(file).is_absolute():
            raise ValueError(
                f"{name}: {file!r} is not possible; a path from / is, as NNI starts trials in folders of its own"
            )
    _check_assessor(content.get("assessor"), settings)
    written = search_space(content, base)
    identity = written_identity(written)
    wanted = parse_identity(identity)
    asked = None if arguments is None else arguments.space
    if asked is not None and parse_identity(asked).name != wanted.name:
        _check_tuner_space(asked, identity, asked)
    working_directory = _expanded(content.get("experimentWorkingDirectory", "~/nni-experiments"))
    working_directory = working_directory if working_directory.is_absolute() else base / working_directory
    check_writable(working_directory, "experimentWorkingDirectory")
    service = _check_with_nni(path)
    _check_roles(service, _need(content, "trialCommand"))
    _check_space(identity, written, settings, arguments)
    check_weights(settings)
    if service["platform"] != "local":
        _check_place(given.settings.data)
    if service["platform"] == "remote":
        check_workers(service["machineList"], read_by_trials(given.settings, identity), say)
    return ExperimentFile(
        path=path.resolve(),
        space=wanted.name,
        settings=settings,
        concurrency=int(content["trialConcurrency"]),
        max_trials=content.get("maxTrialNumber"),
        max_seconds=seconds(content.get("maxExperimentDuration")),
        working_directory=working_directory,
        service=service,
    )


def check_weights(settings: Settings) -> None:
    """Read the weights that networks inherit, if they do; raises as :func:`~nni_earlyexit.utils.tensors.read_tensors` does.

    Else each trial would fail, one after the other.
    """
    if settings.training.weights is not None:
        read_tensors(expanded(settings.training.weights), "weights")


def read_by_trials(settings: Settings, space: str) -> list[str]:
    """Files and folders that trials with these ``settings`` read in ``space``, an identity; workers must have the same."""
    wanted = parse_identity(space).arguments
    source = registry.parse(settings.data.source)
    data = [source.path] if source.path else [] if settings.data.download else source.module.files(settings.data)
    read = [settings.training.weights, settings.limits.latency_table, *data]
    folders = (settings.training.bank, wanted.get("folder"), wanted.get("weights"))
    read += [file for folder in folders for file in files_in(folder)]
    return [file for file in read if file is not None]


def _check_place(data: DataSettings) -> None:
    if data.place is not None and not expanded(data.place).is_absolute():
        name = "data" if registry.parse(data.source).path else "root"
        raise ValueError(
            f"{name}: {data.place!r} is not possible; a path from / is, where trials run on other machines"
        )


def _expanded(folder: str) -> Path:
    try:
        return Path(folder).expanduser()
    except RuntimeError as error:
        raise ValueError(f"experimentWorkingDirectory: {folder!r} is not possible: {error}") from None


def _is_duration(value: Any) -> bool:
    try:
        parse_duration(value)
    except ValueError:
        return False
    return True


_TEXT = Check("a text", lambda v: isinstance(v, str) and v.strip() != "" and "\0" not in v)
_DURATION = Check("a duration such as 600s or 2h", _is_duration)
_MAPPING = Check("a mapping", lambda v: isinstance(v, Mapping))
_FIELDS = {
    "experimentName": _TEXT,
    "searchSpace": None,  # checked as a whole, as that of the file
    "searchSpaceFile": _TEXT,
    "trialCommand": _TEXT,
    "trialCodeDirectory": _TEXT,
    "experimentWorkingDirectory": _TEXT,
    "trialConcurrency": whole_number(1),
    "maxTrialNumber": whole_number(1),
    "maxExperimentDuration": _DURATION,
    "maxTrialDuration": _DURATION,
    "tuner": _MAPPING,
    "assessor": _MAPPING,
    "trainingService": _MAPPING,  # of NNI's list of several, one would have to be chosen for each trial
}
"""The fields of NNI's that are looked at, and the rules for their values."""


_INSIDE = {name.lower(): name for name in ("name", "className", "classArgs", "codeDirectory")}
"""The fields of tuner and assessor, as they stand in small letters."""


def _plain(name: object) -> str:
    return str(name).lower().replace("_", "")


def read(path: Path) -> dict[str, Any]:
    """The fields of an experiment file, those that are looked at by NNI's names, others as they are written there.

    ``ValueError`` for a value that is not what NNI's field holds.
    """
    try:
        content = yaml.safe_load(files.read_text(path, "config"))
    except yaml.YAMLError as error:
        raise ValueError(f"config: {str(path)!r} is not YAML: {' '.join(str(error).split())}") from None
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        # a date that is none, a mapping as a key: YAML's own constructors raise what they like
        raise ValueError(f"config: {str(path)!r} cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(content, Mapping):
        raise ValueError(f"config: {str(path)!r} must hold a mapping of NNI's fields")
    # NNI reads trialCommand, trial_command and TrialCommand as the same field
    names = {name.lower(): name for name in _FIELDS}
    fields: dict[str, Any] = {}
    spelt: dict[str, str] = {}
    for written, value in content.items():
        plain = _plain(written)
        if plain in spelt:
            raise ValueError(f"{written}: it is given twice, as {spelt[plain]!r} and as {written!r}")
        spelt[plain] = str(written)
        fields[names.get(plain, str(written))] = value
    for name in ("tuner", "assessor"):
        if isinstance(fields.get(name), Mapping):
            fields[name] = {_INSIDE.get(_plain(inner), inner): value for inner, value in fields[name].items()}
    for name, check in _FIELDS.items():
        value = fields.get(name)
        if value is None:
            fields.pop(name, None)
        elif check is not None:
            check(name, value)
    return fields


def _need(content: Mapping[str, Any], field: str) -> Any:
    value = content.get(field)
    if value is None:
        raise ValueError(f"{field}: it is missing in the experiment file")
    return value


def _check_command(command: str, folder: Path) -> trial_arguments.Arguments:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ValueError(f"trialCommand: {command!r} is not a command: {error}") from None
    given = trial_arguments.of_command(command)
    if given is None:
        raise ValueError(
            f"trialCommand: {command!r} is not possible; 'python -m {trial_arguments.MODULE}' and its arguments are"
        )
    try:
        arguments = trial_arguments.parse(given, helps=False)
    except ValueError as error:
        raise ValueError(f"trialCommand: {error}") from None
    if not folder.is_dir():
        raise ValueError(f"trialCodeDirectory: {str(folder)!r} is not a folder")
    _check_interpreter(words[0], folder)
    return arguments


def _check_assessor(assessor: object, settings: Settings) -> None:
    if not isinstance(assessor, Mapping) or assessor.get("name") != ASSESSOR:
        return
    try:
        halving = SuccessiveHalving.parse(assessor.get("classArgs"))
        halving.check(settings.training.epochs, settings.limits.latency_table is not None)
    except ValueError as error:
        raise ValueError(f"assessor: {error}") from None


def _check_interpreter(python: str, folder: Path) -> None:
    """Check that trials run in the environment that this runs in: its packages are the ones that were checked."""
    program = shutil.which(python, path=environment()["PATH"])
    if program is None:
        raise ValueError(f"trialCommand: there is no program {python!r}")
    command = [program, "-c", "import sys; print(sys.prefix)"]
    try:
        prefix = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False).stdout.strip()
    except OSError as error:
        raise ValueError(f"trialCommand: {python!r} is no program that runs: {error.strerror}") from None
    if prefix != sys.prefix:
        raise ValueError(
            f"trialCommand: {python!r} belongs to the environment {prefix!r}, not to {sys.prefix!r}, where this runs"
        )
    nnictl = programs() / "nnictl"
    if not nnictl.is_file():
        raise ValueError(f"nnictl: it is not in this environment ({str(programs())!r}); install nni==3.0 there")


def search_space(content: Mapping[str, Any], base: Path) -> Mapping[str, Any]:
    """The search space in the fields of an experiment file, or in the file that they name from ``base``."""
    written = content.get("searchSpace")
    if written is None:
        written = files.read_json(base / expanded(_need(content, "searchSpaceFile")), "searchSpaceFile")
    if not isinstance(written, Mapping):
        raise ValueError("searchSpaceFile: it must hold an object with one entry per label")
    return written


def _check_with_nni(path: Path) -> dict[str, Any]:
    """The training service as NNI understands it, with NNI's names; ``ValueError`` for a file that NNI refuses."""
    from nni.experiment.config import ExperimentConfig, utils

    try:
        return dict(ExperimentConfig.load(path).canonical_copy().json()["trainingService"])
    except Exception as error:  # NNI raises whatever its fields raise, assertions too
        utils.unset_base_path()  # which NNI forgets when it raises, and then refuses the next file
        raise ValueError(f"config: NNI refuses {str(path)!r}: {error!r}") from None


def _check_roles(service: Mapping[str, Any], command: str) -> None:
    """Check that what Kubernetes runs is the ``trialCommand``, whose limits the tuner keeps."""
    roles = [
        *service.get("taskRoles", ()),
        *(service[role] for role in ("master", "worker", "ps") if service.get(role)),
    ]
    for role in roles:
        if role["command"] != command:
            raise ValueError(f"command: {role['command']!r} is not possible; the trialCommand {command!r} is")


def _check_space(
    name: str, search_space: Mapping[str, Any], settings: Settings, arguments: TunerArguments | None
) -> None:
    from nni_earlyexit import data
    from nni_earlyexit.bank.bank import check_options
    from nni_earlyexit.bank.branch import Branches
    from nni_earlyexit.evaluation.same_split import check_same_data, check_same_split
    from nni_earlyexit.integration.search_space_file import check_search_space
    from nni_earlyexit.space.latency_table import latencies
    from nni_earlyexit.space.search_domain import check_limits, domain
    from nni_earlyexit.training.exit_weights import check_number_of_weights
    from nni_earlyexit.training.optimizer import check_optimizer

    check_same_split(name, settings)
    space = search_spaces.restore(name)
    if settings.training.bank is not None:
        Branches(space)
    if arguments is not None and arguments.space is not None:
        _check_tuner_space(search_spaces.restore(arguments.space).identity(), space.identity(), arguments.space)
    check_search_space(search_space, space.search_space(), space.identity())
    seconds_of = latencies(settings.limits.latency_table, space)
    check_limits(space, settings.limits, seconds_of)
    if arguments is not None:
        _check_initial(arguments.create_strategy(), domain(space, settings.limits, seconds_of), space)
    task = data.load_settings(settings.data.for_shape(space.input_shape), settings.training.seed, say)
    data.check_fits(task, space)
    check_same_data(name, settings, task)
    if settings.training.bank is not None:
        check_options(settings.training, sentences=task.preprocessing.vocabulary is not None)
    check_optimizer(settings.training.optimizer)
    check_number_of_weights(settings.training.exit_weights, len(space.network.stages))


def _check_tuner_space(asked: str, written: str, space: str) -> None:
    remedy = f"write it with 'nni-earlyexit space {space}'"
    check_same(asked, written, field="space: the tuner's", whose="the search space file belongs to", remedy=remedy)


def _check_initial(strategy: AskTell, domain: Domain, space: EarlyExitSpace) -> None:
    """Raise ``ValueError`` unless the strategy can start, and will try all the samples that it is to try first."""
    strategy.start(domain)
    for sample in strategy.initial:
        if violation := space.violation(sample):
            raise ValueError(f"strategy_arguments: initial: {violation}")
        if domain.excess(domain.canonical(sample)) > 0:
            raise ValueError(
                f"strategy_arguments: initial: {space.describe(sample)} misses a limit before it is trained"
            )


def seconds(duration: str | float | None) -> float | None:
    """Seconds of a duration in an experiment file, if there is one."""
    return None if duration is None else parse_duration(duration)
