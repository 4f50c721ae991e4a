"""Checking an NNI experiment file before anything starts.

``nnictl create`` accepts many files that cannot work and says so only in a log, if at all. Here each mistake is one
sentence that names the field, the value and what would be right. Cheap checks come first.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from nni_earlyexit import trial
from nni_earlyexit.environment import environment, programs
from nni_earlyexit.goal import LIMITS
from nni_earlyexit.halving import SuccessiveHalving
from nni_earlyexit.identity import parse as parse_identity
from nni_earlyexit.settings import Settings
from nni_earlyexit.tuner_arguments import TunerArguments

if TYPE_CHECKING:
    from nni_earlyexit.ask_tell import AskTell, Domain
    from nni_earlyexit.space import EarlyExitSpace

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


def check(path: Path) -> ExperimentFile:
    """Check the experiment file at ``path``; ``ValueError`` or ``FileNotFoundError`` in one sentence when it cannot work."""
    if not path.is_file():
        raise FileNotFoundError(f"config: there is no file {str(path)!r}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"config: {str(path)!r} is not YAML: {error}") from None
    if not isinstance(content, Mapping):
        raise ValueError(f"config: {str(path)!r} must hold a mapping of NNI's fields")
    # NNI reads trialCommand, trial_command and TrialCommand as the same field
    content = {str(name).lower().replace("_", ""): value for name, value in content.items()}
    base = path.parent.resolve()

    settings = _check_command(_need(content, "trialCommand"), base / content.get("trialcodedirectory", "."))
    tuner = _need(content, "tuner")
    arguments = None
    if isinstance(tuner, Mapping) and tuner.get("name") == TUNER:
        arguments = TunerArguments.parse(tuner.get("classArgs"))
        for limit in (*LIMITS, "latency_table"):
            ours, theirs = getattr(arguments, limit), getattr(settings, limit)
            if ours != theirs:
                raise ValueError(
                    f"{limit}: the tuner's is {ours} and the trialCommand's is {theirs}; they must be the same"
                )
        if arguments.latency_table is not None and not Path(arguments.latency_table).is_absolute():
            raise ValueError(
                f"latency_table: {arguments.latency_table!r} is not possible; a path from / is, as NNI starts tuner and trials "
                "in folders of its own"
            )
    _check_assessor(content.get("assessor"), settings)
    found = _search_space(content, base)
    entry = found.get("space")
    identity = entry["_value"][0] if isinstance(entry, Mapping) and entry.get("_value") else None
    if identity is None:
        raise ValueError(
            "searchSpaceFile: it does not say which space it belongs to; write it with 'nni-earlyexit space NAME'"
        )
    wanted = parse_identity(str(identity))
    if arguments is not None and parse_identity(arguments.space).name != wanted.name:
        raise ValueError(
            f"space: the tuner's is {arguments.space!r}, but the search space file belongs to {identity!r}; "
            f"write it with 'nni-earlyexit space {arguments.space}'"
        )
    working_directory = Path(content.get("experimentworkingdirectory", "~/nni-experiments")).expanduser()
    working_directory = working_directory if working_directory.is_absolute() else base / working_directory
    check_writable(working_directory, "experimentWorkingDirectory")
    _check_with_nni(path)
    _check_space(str(identity), found, settings, arguments)
    return ExperimentFile(
        path=path.resolve(),
        space=wanted.name,
        settings=settings,
        concurrency=int(content["trialconcurrency"]),
        max_trials=content.get("maxtrialnumber"),
        max_seconds=_seconds(content.get("maxexperimentduration")),
        working_directory=working_directory,
    )


def check_writable(folder: Path, field: str) -> None:
    """``ValueError`` that names ``field`` unless files can be made in ``folder``, which may not exist yet."""
    nearest = folder
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise ValueError(f"{field}: {str(folder)!r} is not a folder that can be written to")


def check_port(port: int) -> None:
    """``ValueError`` unless ``port`` is free on this machine."""
    if not 0 < port < 65536:
        raise ValueError(f"port: {port} is not possible; a number from 1 to 65535 is")
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise ValueError(f"port: {port} is in use; stop what listens there or choose another one with --port")


def _need(content: Mapping[str, Any], field: str) -> Any:
    value = content.get(field.lower())
    if value is None:
        raise ValueError(f"{field}: it is missing in the experiment file")
    return value


def _check_command(command: str, folder: Path) -> Settings:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ValueError(f"trialCommand: {command!r} is not a command: {error}") from None
    if words[1:3] != ["-m", trial.MODULE]:
        raise ValueError(f"trialCommand: {command!r} is not possible; 'python -m {trial.MODULE}' and its arguments are")
    try:
        settings = trial.parse(words[3:])
    except (ValueError, OSError) as error:
        raise ValueError(f"trialCommand: {error}") from None
    _check_interpreter(words[0], folder)
    return settings


def _check_assessor(assessor: Any, settings: Settings) -> None:
    if not isinstance(assessor, Mapping) or assessor.get("name") != ASSESSOR:
        return
    try:
        halving = SuccessiveHalving.parse(assessor.get("classArgs"))
        halving.check(settings)
    except ValueError as error:
        raise ValueError(f"assessor: {error}") from None


def _check_interpreter(python: str, folder: Path) -> None:
    """Trials must run in the environment that this runs in: its packages are the ones that were checked."""
    found = shutil.which(python, path=environment()["PATH"])
    if found is None:
        raise ValueError(f"trialCommand: there is no program {python!r}")
    prefix = subprocess.run(
        [found, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True, cwd=folder, check=False
    ).stdout.strip()
    if prefix != sys.prefix:
        raise ValueError(
            f"trialCommand: {python!r} belongs to the environment {prefix!r}, not to {sys.prefix!r}, where this runs"
        )
    nnictl = programs() / "nnictl"
    if not nnictl.is_file():
        raise ValueError(f"nnictl: it is not in this environment ({str(programs())!r}); install nni==3.0 there")


def _search_space(content: Mapping[str, Any], base: Path) -> Mapping[str, Any]:
    found = content.get("searchspace")
    if found is None:
        file = base / _need(content, "searchSpaceFile")
        if not file.is_file():
            raise FileNotFoundError(f"searchSpaceFile: there is no file {str(file)!r}")
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise ValueError(f"searchSpaceFile: {str(file)!r} is not JSON: {error}") from None
    if not isinstance(found, Mapping):
        raise ValueError("searchSpaceFile: it must hold an object with one entry per label")
    return found


def _check_with_nni(path: Path) -> None:
    from nni.experiment.config import ExperimentConfig, utils

    register()
    try:
        ExperimentConfig.load(path).canonical_copy()
    except Exception as error:  # NNI raises whatever its fields raise, assertions too
        utils.unset_base_path()  # which NNI forgets when it raises, and then refuses the next file
        raise ValueError(f"config: NNI refuses {str(path)!r}: {error!r}") from None


def _check_space(name: str, found: Mapping[str, Any], settings: Settings, arguments: TunerArguments | None) -> None:
    from nni_earlyexit import data, search_spaces
    from nni_earlyexit.domains import check_limits, domain
    from nni_earlyexit.tuner import check_search_space

    space = search_spaces.create(name)
    if arguments is not None:
        asked = search_spaces.create(arguments.space).identity()
        if asked != space.identity():
            raise ValueError(
                f"space: the tuner's is {asked!r}, but the search space file belongs to {space.identity()!r}; "
                f"write it with 'nni-earlyexit space {arguments.space}'"
            )
    check_search_space(found, space.search_space(), space.identity())
    latencies = None
    if settings.latency_table is not None:
        from nni_earlyexit.latency import LatencyTable

        latencies = LatencyTable.load(Path(settings.latency_table), space).predictor(space)
    check_limits(space, settings.goal, latencies)
    if arguments is not None:
        _check_initial(arguments.create_strategy(), domain(space, arguments.goal, latencies), space)
    data.check_fits(data.load(settings.data, settings.seed, settings.input_shape), space)
    if settings.exit_weights is not None and len(settings.exit_weights) != len(space.network.stages):
        raise ValueError(
            f"exit_weights: {len(settings.exit_weights)} given, space {space.identity()} has "
            f"{len(space.network.stages)} stages; one per stage is needed"
        )


def _check_initial(strategy: AskTell, domain: Domain, space: EarlyExitSpace) -> None:
    """``ValueError`` unless the strategy can start, and will try all the samples that it is to try first."""
    strategy.start(domain)
    for sample in strategy.initial:
        if violation := space.violation(sample):
            raise ValueError(f"strategy_arguments: initial: {violation}")
        if domain.excess(domain.canonical(sample)) > 0:
            raise ValueError(
                f"strategy_arguments: initial: {space.describe(sample)} misses a limit before it is trained"
            )


def _seconds(duration: str | int | None) -> float | None:
    if duration is None:
        return None
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    text = str(duration).strip()
    return float(text[:-1]) * units[text[-1]] if text[-1] in units else float(text)


def register() -> None:
    """Make tuner and assessor known to this environment's NNI with ``nnictl algo register``, unless they are."""
    from nni.tools.package_utils import get_algo_meta

    meta = Path(__file__).with_name("algorithm.yml")
    for algorithm in yaml.safe_load(meta.read_text(encoding="utf-8"))["algorithms"]:
        known = get_algo_meta(algorithm["builtinName"])
        if known is None or known.class_name != algorithm["className"]:
            break
    else:
        return
    command = [str(programs() / "nnictl"), "algo", "register", "--meta", str(meta)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    if done.returncode != 0:
        raise OSError(f"nnictl algo register failed: {done.stdout.strip()} {done.stderr.strip()}")
