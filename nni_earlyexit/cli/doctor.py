"""``nni-earlyexit doctor``: a look at the environment."""

from __future__ import annotations

from typing import Annotated

from nni_earlyexit.cli.options import AsCsv, AsJson, number
from nni_earlyexit.cli.output import print_rows, progress

MARKS = {"ok": "ok", "warning": "WARNING", "broken": "BROKEN"}


def command(
    port: Annotated[int, number("port of NNI's web UI that a search would use", most=65535)] = 8080,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> int:
    """Look at the environment: what an experiment needs, and how to mend what is wrong.

    Versions that fit, nnictl, the tuner's registration, the port, folders, disks and GPUs. Exit codes: 0 it can be used;
    1 something is broken.

    Example: nni-earlyexit doctor
    """
    from nni_earlyexit.experiment.doctor import State, examine

    say = progress(as_json, as_csv)
    findings = []
    for finding in examine(port):
        findings.append(finding)
        if not (as_json or as_csv):
            remedy = f"; {finding.remedy}" if finding.remedy else ""
            say(f"{MARKS[finding.state.value]:<8} {finding.thing:<18} {finding.seen}{remedy}")
    if as_json or as_csv:
        print_rows([finding.to_dict() for finding in findings], as_json)
    return 1 if any(finding.state is State.BROKEN for finding in findings) else 0
