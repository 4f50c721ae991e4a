"""``nni-earlyexit init``: the files of a new experiment, asked for or given."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from nni_earlyexit import search_spaces
from nni_earlyexit.cli.options import duration, number, takes
from nni_earlyexit.data.settings import DataSettings
from nni_earlyexit.search.limits import Limits
from nni_earlyexit.utils.amounts import format_macs, parse_amount, parse_duration
from nni_earlyexit.utils.options import build, options
from nni_earlyexit.utils.progress import say

T = TypeVar("T")
TRIALS = 100


def _time(text: str) -> str:
    duration(text)
    return text


@takes({"Data": DataSettings, "Limits": Limits})
def command(
    space: Annotated[
        str | None,
        typer.Option(
            metavar="SPACE",
            help="name of the space and its arguments, such as 'resnet channels=16'",
            show_default=False,
        ),
    ] = None,
    strategy: Annotated[str, typer.Option(metavar="NAME", help="name of the strategy")] = "surrogate",
    trials: Annotated[int | None, number("networks that are tried, at most (100 if there is no --time)")] = None,
    time: Annotated[
        str | None, typer.Option(metavar="TIME", parser=_time, help="time that the search may take, such as 2h")
    ] = None,
    epochs: Annotated[int, number("epochs that a network is trained for")] = 12,
    concurrency: Annotated[int, number("trials at a time")] = 2,
    name: Annotated[str, typer.Option(metavar="NAME", help="name in NNI's web UI (one that says the data)")] = "",
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="folder of experiment.yml and search_space.json")
    ] = Path(),
    force: Annotated[bool, typer.Option("--force", help="write over files that are there")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="ask nothing; what is not given has its default")] = False,
    **given: Any,
) -> None:
    """Write the files of a new experiment, for a data set, a space and a budget.

    They are experiment.yml, with comments, and search_space.json. In a terminal it asks for what is not given. Data, space and
    limits are looked at before anything is written.

    Example: nni-earlyexit init --data folder:PATH --space mobilenetv3 --max-avg-macs 20M --time 2h
    """
    asks = not yes and sys.stdin.isatty() and sys.stdout.isatty()
    if "data" not in given and not asks:
        raise ValueError("data: it is missing; give --data, such as digits, cifar10, folder:PATH or npz:PATH")

    if space is not None:
        search_spaces.check_early(space)

    from nni_earlyexit.experiment import new_experiment

    new_experiment.check_folder(out, force)
    from_command = {o.name: given[o.name] for o in options(DataSettings) if o.name in given}

    def read_data(source: str) -> tuple[DataSettings, Any]:
        settings = build(DataSettings, {**from_command, "data": source})
        return settings, new_experiment.outline(settings)

    asked = _Questions(asks)
    data, seen = asked(
        "data set: digits, cifar10, folder:PATH, npz:PATH, tsv:PATH", "digits", read_data, given.get("data")
    )
    say(f"{data.source}: {new_experiment.sentence_on(seen)}")

    usual = new_experiment.fitting_space(data, seen)
    made = asked(
        "search space ('nni-earlyexit spaces' lists them)", usual, lambda s: new_experiment.space_of(s, data), space
    )
    reach = new_experiment.macs_range(made)
    say(f"{made.identity()}: networks take {reach}")

    if len(made.input_shape) == 3:
        say(f"images are scaled to {made.input_shape[1]}x{made.input_shape[2]}, where they are of another size")

    limits = {o.name: given[o.name] for o in options(Limits) if o.name in given}

    def read_limits(text: str) -> Limits:
        chosen = {**limits, "max_avg_macs": parse_amount(text)} if text else limits
        settings = build(Limits, chosen)
        settings.check_latency_is_known()
        new_experiment.check_budget(made, reach, settings)
        return settings

    kept = asked("limit on average MACs, such as 20M (empty: none)", "", read_limits, "" if limits else None)
    if kept.max_avg_macs is not None and kept.max_avg_macs < reach.least:
        say(
            f"{format_macs(kept.max_avg_macs)} average MACs are less than any network takes to its last exit: most inputs have "
            "to leave early; a space of smaller networks may do better"
        )
    if trials is None and time is None:
        trials = asked("networks to try, at most (empty: no limit)", str(TRIALS), _count)
    if trials is None and time is None:
        time = asked("time that the search may take", "2h", _duration)
    plan = new_experiment.Plan(
        new_experiment.settings_of(data, kept, epochs),
        made.identity(),
        strategy=strategy,
        trials=trials,
        time=time,
        concurrency=concurrency,
        name=name,
    )
    path = new_experiment.write(new_experiment.Draft(plan, seen, made, reach), out, force)
    say(f"wrote {path} and {out / new_experiment.SEARCH_SPACE}. Try it out with: nni-earlyexit run {path} --quick")


class _Questions:
    """Asks until an answer can be; without a terminal, takes the default."""

    def __init__(self, asks: bool) -> None:
        self.asks = asks

    def __call__(self, question: str, usual: str, read: Callable[[str], T], given: str | None = None) -> T:
        if given is not None or not self.asks:
            return read(usual if given is None else given)
        while True:
            answer = typer.prompt(question, default=usual, show_default=bool(usual))
            try:
                return read(answer)
            except (ValueError, OSError) as error:
                from nni_earlyexit.utils.errors import sentence

                say(sentence(error))


def _count(text: str) -> int | None:
    if text and (not text.isdecimal() or int(text) < 1):
        raise ValueError(f"trials: {text!r} is not possible; a whole number from 1 is")
    return int(text) if text else None


def _duration(text: str) -> str:
    parse_duration(text)
    return text
