"""``nni-earlyexit settings``: every option of a trial and of the tuner, its default and its meaning."""

from __future__ import annotations

TITLES = {
    "Trial": "options of `python -m nni_earlyexit.trial`, with dashes, and arguments of `EarlyExitEvaluator`",
    "Tuner": "`classArgs` of the tuner `EarlyExit`",
    "Assessor": "`classArgs` of the assessor `EarlyExitHalving`; beside them `objectives`, as the tuner's",
}


def command() -> None:
    """Print every option of trial, tuner and assessor as Markdown tables.

    Example: nni-earlyexit settings > settings.md
    """
    print(tables())


def tables() -> str:
    """The tables, as ``docs/settings.md`` has them."""
    from nni_earlyexit.integration.tuner_arguments import TunerArguments
    from nni_earlyexit.search.successive_halving import SuccessiveHalving
    from nni_earlyexit.training.settings import Settings
    from nni_earlyexit.utils.options import markdown

    parts = [
        "# Settings",
        "Written by `nni-earlyexit settings > docs/settings.md` from the fields of the settings themselves.",
    ]
    for (title, what), cls in zip(TITLES.items(), (Settings, TunerArguments, SuccessiveHalving), strict=True):
        parts += [f"## {title}", f"{what[0].upper()}{what[1:]}.", markdown(cls)]
    return "\n\n".join(parts)
