"""The way from the TensorBoard button of NNI's web UI to the events of a trial.

On its local platform, NNI lets a trial write to ``environments/local-env/trials/ID`` in the experiment's folder, and looks for
its events in ``trials/ID/output``.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from nni_earlyexit.training.monitor import FOLDER


def link_events(folder: Path) -> None:
    """Let NNI see the events in the ``folder`` of a trial. Nothing happens on other platforms, and where it cannot be done."""
    environments = folder.absolute().parents[2]
    if environments.name != "environments":
        return
    seen = environments.parent / "trials" / folder.name / "output" / FOLDER
    with suppress(OSError):  # a trial does not fail for its curves
        seen.parent.mkdir(parents=True, exist_ok=True)
        if seen.is_dir() and not seen.is_symlink():
            seen.rmdir()  # NNI makes it when somebody looks too early
        seen.symlink_to(os.path.relpath(folder / FOLDER, seen.parent))
