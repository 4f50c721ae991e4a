"""NNI's assessor around successive halving, for ``nnictl``.

It lives in the tuner's process and, like the tuner, has few seconds to start.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from nni import ClassArgsValidator
from nni.assessor import Assessor, AssessResult
from nni_earlyexit.integration import nni_private
from nni_earlyexit.integration.visible_failure import visible_failure
from nni_earlyexit.search.checkpoint import Checkpoint, read
from nni_earlyexit.search.metrics import whole
from nni_earlyexit.search.successive_halving import SuccessiveHalving

_logger = logging.getLogger(__name__)

FILE = "halving.jsonl"


class EarlyExitAssessorClassArgsValidator(ClassArgsValidator):
    """Check of the arguments that NNI's legacy path makes before a start; today's ``nnictl create`` does not."""

    def validate_class_args(self, **kwargs: Any) -> None:
        """Raise ``ValueError`` for arguments that cannot work."""
        SuccessiveHalving.parse(kwargs)


class EarlyExitAssessor(Assessor):
    """Stops trials by successive halving. The arguments are those of :class:`SuccessiveHalving`.

    What it knows is saved after every report, so that a resumed experiment judges as it would have. Trials that were
    interrupted are not judged then: NNI hands their reports to nobody.
    """

    def __init__(self, **class_args: Any) -> None:
        super().__init__()
        self.halving = SuccessiveHalving.parse(class_args)
        nni_private.read_plain_json()

    @visible_failure("EarlyExit assessor")
    def assess_trial(self, trial_job_id: str, trial_history: list[Any]) -> AssessResult:
        """``AssessResult.Bad`` for a trial that its last report shows not to be worth its time."""
        metrics = whole(trial_history[-1])
        if not isinstance(metrics, Mapping) or "epochs" not in metrics:
            _logger.error("Trial %s reported %r, not the metrics of nni_earlyexit.trial", trial_job_id, metrics)
            return AssessResult.Good
        goes_on = self.halving.report(trial_job_id, metrics["epochs"], metrics)
        if self._checkpoint is not None:
            self._checkpoint.save(self.halving)
        return AssessResult.Good if goes_on else AssessResult.Bad

    def load_checkpoint(self) -> None:
        """Read the state when NNI resumes. A file that is missing or damaged is as good as none: rungs fill again."""
        if self._checkpoint is not None:
            path = self._checkpoint.path
            try:
                self.halving.load_state_dict(read(path))
            except Exception as error:  # a damaged file can hold anything
                _logger.error("%s is not used, trials are judged by those to come: %s", path, error)

    @cached_property
    def _checkpoint(self) -> Checkpoint | None:
        """The file in NNI's folder for what a resumed experiment needs, if there is one."""
        folder = self.get_checkpoint_path()
        return None if folder is None else Checkpoint(Path(folder), FILE, "successive halving")
