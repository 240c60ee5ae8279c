"""One attempt at another version, a value that the phases carry, and how it went."""

from __future__ import annotations

from zkexec.core.snapshot import UNLIMITED, Snapshot, plan
from zkexec.core.step import Step
from zkexec.frozen import frozen, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


@frozen()
class LocalFailure:
    """A version that failed on this host, why, and in which step.

    `beside` is what the command runs on instead if it was not known good when this version was
    refused; else None.
    """

    version: Snapshot
    reason: str
    step: Step | None = None
    beside: Snapshot | None = None


@frozen()
class Attempt:
    """What a turn was used for last, and what came of it.

    `tried` is the snapshot that was installed, or could not be.  `failure` is a config failure that
    was not settled yet, `trouble` why this host could not do the step `troubled`, "" if it could.
    `revert_to` is the last good snapshot while it has to be put back, after a failure.
    """

    tried: Snapshot | None = None
    failure: LocalFailure | None = None
    trouble: str = ""
    revert_to: Snapshot | None = None
    troubled: Step | None = None

    @property
    def reason(self) -> str:
        """Why the wanted version does not run; "" if there is no such reason."""
        return self.failure.reason if self.failure is not None else self.trouble

    @property
    def step(self) -> Step | None:
        """The step that `reason` is about."""
        return self.failure.step if self.failure is not None else self.troubled

    @property
    def failing(self) -> Snapshot | None:
        """The version that failed; None if none has."""
        return None if self.failure is None else self.failure.version

    def is_reverted(self, installed: Snapshot) -> bool:
        """Whether a good snapshot is installed instead of one that failed."""
        failure = self.failure
        return failure is not None and installed not in (failure.version, failure.beside)

    def is_retry(self, wanted: Snapshot) -> bool:
        """Whether these are the bytes that failed, pushed once more."""
        failing = self.failing
        return failing is not None and wanted == failing and wanted.last_written > failing.zxid

    def is_trial(self, installed: Snapshot, wanted: Snapshot) -> bool:
        """Whether what failed is to be tried once more although no file differs from it.

        Either it was pushed again, or it is part of another version.
        """
        is_failed_here = self.failing is not None and installed == self.failing
        return self.is_retry(wanted) or (is_failed_here and wanted != self.failing)

    def is_in_place(self, installed: Snapshot, wanted: Snapshot) -> bool:
        """Whether this is installed and has not failed."""
        return installed != self.failing and not plan(installed, wanted)

    def was_tried(self, granted: Snapshot) -> bool:
        """Whether a turn that was granted for this has been used for it already."""
        return self.tried is not None and granted == self.tried and not self.is_retry(granted)

    def fail(self, reason: str, installed: Snapshot, good: Snapshot | None, step: Step) -> Attempt:
        """Return it as a config failure; `good` is what is to be put back, None for nothing."""
        failure = LocalFailure(self.tried or installed, reason, step)
        return replace(self, failure=failure).reverting(installed, good)

    def reverting(self, installed: Snapshot, good: Snapshot | None) -> Attempt:
        """Return it with what is to be put back instead of what is installed, None for nothing."""
        can_revert = good is not None and bool(plan(installed, good))
        return replace(self, revert_to=good if can_revert else None)

    def refused_by_check(
        self, staged: Snapshot, reason: str, beside: Snapshot | None, step: Step = Step.CHECK
    ) -> Attempt:
        """Return it as a failure of a version for which nothing was stopped or installed."""
        beside = None if beside == staged else beside  # the same was written again
        failure = LocalFailure(staged, reason, step, beside)
        return replace(self, tried=staged, failure=failure)

    def running_beside(self, beside: Snapshot | None) -> Attempt:
        """Return a failure during which the command runs on this, which is not known good."""
        if self.failure is None:
            raise RuntimeError("no version has failed")
        return replace(self, failure=replace(self.failure, beside=beside))

    def hindered(self, reason: str, step: Step) -> Attempt:
        """Return it with what this host could not do."""
        return replace(self, trouble=reason, troubled=step)

    def recover(self) -> Attempt:
        """Return it without the failure, and without what a revert has met."""
        trouble = self.trouble if self.revert_to is None else ""
        return replace(self, failure=None, revert_to=None, trouble=trouble)

    def install(self, snapshot: Snapshot) -> Attempt:
        """Return what follows from an installation; anything but a revert is a new attempt."""
        if self.revert_to is not None and snapshot == self.revert_to:
            return replace(self, trouble="")
        return Attempt(snapshot)

    def refuse(self, staged: Snapshot | None, installed: Snapshot, reason: str) -> Attempt:
        """Return what follows if files could not be installed after the old command was stopped."""
        if self.revert_to is not None and staged == self.revert_to:
            return self.hindered(reason, Step.INSTALL)
        if staged is not None and not plan(installed, staged):
            # What failed was to be tried again.  It is installed, so that is possible.
            return Attempt(staged)
        return replace(self, tried=staged, revert_to=None).hindered(reason, Step.INSTALL)

    def of_other_history(self) -> Attempt:
        """Return it as part of an earlier history of the servers, whatever its zxids."""
        return self._with_zxids(lambda _: UNLIMITED)

    def dated(self, newest: int) -> Attempt:
        """Return it with the zxid of what is read now if it is of an earlier history.

        Only what is written from now on is newer: that is what makes a retry.
        """
        zxids = [known.zxid for known in (self.tried, self.failing) if known is not None]
        if max(zxids, default=0) <= newest:
            return self
        return self._with_zxids(lambda zxid: min(zxid, newest))

    def _with_zxids(self, change: Callable[[int], int]) -> Attempt:
        tried, failure = self.tried, self.failure
        if tried is None and failure is None:
            return self
        if tried is not None:
            tried = replace(tried, zxid=change(tried.zxid))
        if failure is not None:
            version = replace(failure.version, zxid=change(failure.version.zxid))
            failure = replace(failure, version=version)
        return replace(self, tried=tried, failure=failure)
