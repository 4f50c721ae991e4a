"""``nni-earlyexit spaces``: the search spaces with their size and costs."""

from __future__ import annotations

from nni_earlyexit.utils.progress import say


def command() -> None:
    """List the search spaces with their size and costs.

    Example: nni-earlyexit spaces
    """
    from nni_earlyexit.report.space_table import rows

    for line in rows():
        say(line)
