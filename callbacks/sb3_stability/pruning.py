"""Under Optuna, a stopped run is a pruned trial."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback, CallbackList, EventCallback


def prune_if_in_trial(callback: BaseCallback, reason: str) -> None:
    """Raise ``optuna.TrialPruned`` if a model is trained in a trial of Optuna.

    A trial is found by a callback of the same training that has it as its attribute ``trial``, as rl_zoo3's own
    ``TrialEvalCallback`` does. Without that, rl_zoo3 would take the stopped run for a complete one, with the value of
    its last evaluation, or minus infinity if there was none.

    :param callback: one of the callbacks of the training
    :param reason: why the run is stopped
    :raises optuna.TrialPruned: in a trial
    """
    optuna: Any = sys.modules.get("optuna")
    if optuna is None:
        return
    if any(isinstance(getattr(one, "trial", None), optuna.trial.BaseTrial) for one in _family(callback)):
        raise optuna.TrialPruned(reason)


def _family(callback: BaseCallback) -> Iterator[BaseCallback]:
    """All callbacks of the training that this callback belongs to."""
    root = callback.locals.get("callback")
    waiting: list[Any] = [root if isinstance(root, BaseCallback) else callback]
    while waiting:
        one = waiting.pop()
        yield one
        children: Iterable[Any] = one.callbacks if isinstance(one, CallbackList) else ()
        waiting.extend(children)
        if isinstance(one, EventCallback) and one.callback is not None:
            waiting.append(one.callback)
