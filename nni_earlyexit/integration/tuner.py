"""NNI's tuner around an ask/tell strategy, for ``nnictl``.

NNI gives a tuner 10 seconds to connect, so the constructor only checks its arguments; torch and the space come with the
first message.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from nni import ClassArgsValidator
from nni.tuner import Tuner
from nni_earlyexit.evaluation.trial_folders import trial_folder, trial_folders
from nni_earlyexit.integration import nni_private, rest, trial_arguments
from nni_earlyexit.integration.search_space_file import check_search_space, split_parameters, written_identity
from nni_earlyexit.integration.tuner_arguments import TunerArguments
from nni_earlyexit.integration.visible_failure import visible_failure
from nni_earlyexit.search.ask_tell import Exhausted
from nni_earlyexit.search.checkpoint import Checkpoint
from nni_earlyexit.search.domain import Sample
from nni_earlyexit.search.metrics import whole
from nni_earlyexit.search.session import Session, Submitted
from nni_earlyexit.space.identity import check_same
from nni_earlyexit.utils import files, garbage

_logger = logging.getLogger(__name__)

KNOWN = 8
"""Most networks of a bank that a search begins with."""

Method = TypeVar("Method", bound=Callable[..., Any])


class EarlyExitClassArgsValidator(ClassArgsValidator):
    """Check of the arguments that NNI's legacy path makes before a start; today's ``nnictl create`` does not."""

    def validate_class_args(self, **kwargs: Any) -> None:
        """Raise ``ValueError`` for arguments that cannot work."""
        TunerArguments.parse(kwargs)


def _visible_failure(method: Method) -> Method:
    """Let in one call at a time, and end the tuner's process when ``method`` raises."""

    @functools.wraps(method)
    def run(self: EarlyExitTuner, *args: Any, **kwargs: Any) -> Any:
        with visible_failure("EarlyExit tuner"), self._lock:
            return method(self, *args, **kwargs)

    return run  # type: ignore[return-value]


class EarlyExitTuner(Tuner):
    """Multi-objective search over an early-exit space. The arguments are those of :class:`TunerArguments`.

    The strategy's state is saved whenever it changes, so that a resumed experiment goes on where it was.
    """

    def __init__(self, **class_args: Any) -> None:
        super().__init__()
        self.arguments = TunerArguments.parse(class_args)
        self.strategy = self.arguments.create_strategy()
        self.session = Session(self.strategy)
        self.identity: str | None = None
        self._lock = threading.RLock()  # NNI reports the end of trials on another thread
        self._resumed = False  # and the results of the earlier run have not come yet
        self._exhausted = False
        garbage.search_less_often()  # NNI starts a process for it
        nni_private.hear_of_stopped_trials()
        nni_private.read_plain_json()

    def load_checkpoint(self) -> None:
        """Note that NNI resumes; it calls this before there is a space."""
        self._resumed = True
        if self._folder is not None:
            for own in (self._folder, *trial_folders(self._folder.parent)):
                files.remove_parts(own)

    @_visible_failure
    def update_search_space(self, search_space: Mapping[str, Any]) -> None:
        """Start the strategy in the space of the experiment; ``ValueError`` if ``search_space`` is another one."""
        from nni_earlyexit import search_spaces
        from nni_earlyexit.bank.known_front import known_samples
        from nni_earlyexit.space.latency_table import latencies
        from nni_earlyexit.space.search_domain import domain

        own = self.arguments.space
        if own is None:  # a file's own name is only followed where the user has not said one
            for name in trial_arguments.allowed_spaces(self._trial_command() or ""):
                search_spaces.allow(name)
        space = search_spaces.restore(written_identity(search_space)) if own is None else search_spaces.create(own)
        check_search_space(search_space, space.search_space(), space.identity())
        if self.identity is not None:
            return  # a running search was given its own space again
        self.identity = space.identity()
        command = self._trial_command()
        limits = self.arguments.agreed_limits(None if command is None else trial_arguments.limits_of(command))
        self.strategy.start(domain(space, limits, latencies(limits.latency_table, space)))
        bank = None if command is None else trial_arguments.bank_of(command)
        if bank is not None:  # its best networks first: all that is left to do for them is to report
            self.strategy.initial += known_samples(bank, self.identity, KNOWN)

    @_visible_failure
    def import_data(self, data: list[dict[str, Any]]) -> None:
        """Take in results of an earlier run when NNI resumes, those of its interrupted trials later, and a user's imports."""
        resumed, self._resumed = self._resumed, False
        restored = resumed and self._restore()
        for entry in data:
            self._import(entry.get("parameter"), entry["value"])
        if resumed:
            self._settle()
            if not restored:
                self.strategy.go_on()
        self._save()

    @_visible_failure
    def generate_multiple_parameters(self, parameter_id_list: list[int], **kwargs: Any) -> list[dict[str, Any]]:
        """Parameters for new trials, one per number; fewer when no sample is left."""
        generated: list[dict[str, Any]] = []
        if self._resumed:
            # An interrupted trial ended before NNI told its results and numbers: it asks again after that. What it was given
            # now would have the number of another trial.
            return generated
        for parameter_id in parameter_id_list:
            try:
                sample = self.session.ask()
            except Exhausted as reason:
                _logger.warning("No more trials: %s", reason)
                self._exhausted = True
                break
            self.session.start(parameter_id, sample)
            generated.append({"space": self.identity, **sample})
        self._save()
        self._end_if_exhausted()
        return generated

    @_visible_failure
    def receive_trial_result(self, parameter_id: int, parameters: Any, value: Any, **kwargs: Any) -> None:
        """Take in a final result, or the last intermediate one of a trial that an assessor stops."""
        if self.session.tell(parameter_id, whole(value)):
            self._save()
        self._end_if_exhausted()

    @_visible_failure
    def trial_end(self, parameter_id: int, success: bool, **kwargs: Any) -> None:
        """Note that a trial has ended; without a result, it failed."""
        if self.session.end(parameter_id):
            self._save()
        self._end_if_exhausted()

    def _import(self, parameters: Any, value: Any) -> None:
        """Tell a result that is not known yet. One of another space is left out: it can be neither run nor learnt from."""
        try:
            sample = self._own(parameters)
        except ValueError as error:
            _logger.error("A result is not imported: %s", error)
            return
        self.session.take_in(sample, whole(value))

    def _own(self, parameters: Any) -> Sample:
        """The canonical sample of NNI's parameters; ``ValueError`` for those of another space."""
        identity, sample = split_parameters(parameters)
        check_same(identity, str(self.identity))
        self.strategy.domain.check(sample)
        return self.strategy.domain.canonical(sample)

    def _trial_command(self) -> str | None:
        """The ``trialCommand``, in which an experiment file says limits and bank once; the manager knows it."""
        if "NNI_TUNER_COMMAND_CHANNEL" not in os.environ:
            return None
        return str(rest.get(self._manager, "experiment")["params"].get("trialCommand"))

    @property
    def _folder(self) -> Path | None:
        """NNI's folder for what a resumed experiment needs, inside that of the experiment, if there is one."""
        folder = self.get_checkpoint_path()
        return None if folder is None else Path(folder)

    @functools.cached_property
    def _checkpoint(self) -> Checkpoint | None:
        return None if self._folder is None else Checkpoint(self._folder)

    def _save(self) -> None:
        if self._checkpoint is not None:
            self._checkpoint.save(self.strategy)

    def _restore(self) -> bool:
        return self._checkpoint is not None and self._checkpoint.load(self.strategy)

    def _settle(self) -> None:
        """Learn after a resume which samples NNI runs again and which have failed, and try again those that never reached it.

        NNI drops the results of those interrupted trials that are faster than the tuner's start.
        """
        from nni_earlyexit.evaluation import record

        folder = self._folder
        finals = {final["trialJobId"]: final["data"] for final in rest.get(self._manager, "metric-data?type=FINAL")}
        submitted = []
        for job in rest.get(self._manager, "trial-jobs"):
            given = json.loads(job["hyperParameters"][0])
            try:
                sample = self._own(given["parameters"])
            except ValueError:
                continue  # a trial that a user added by hand
            submitted.append(
                Submitted(
                    number=int(given.get("parameter_id", -1)),
                    sample=sample,
                    metrics=rest.unpack(finals[job["trialJobId"]]) if job["trialJobId"] in finals else None,
                    ended=job["status"] in rest.ENDED_TRIAL,
                    canceled=job["status"] in rest.CANCELED_TRIAL,
                    damaged=folder is not None and record.is_damaged(trial_folder(folder.parent, job["trialJobId"])),
                )
            )
        self.session.settle(submitted)

    def _end_if_exhausted(self) -> None:
        """End the experiment when no sample is left and nothing runs any more; by itself, NNI would wait for ever."""
        if self._exhausted and not self.session.running:
            rest.end_after(self._manager, len(rest.get(self._manager, "trial-jobs")))
            self._exhausted = False

    @property
    def _manager(self) -> str:
        return rest.address(os.environ["NNI_TUNER_COMMAND_CHANNEL"])
