"""Signs read off gradients, actions, learning rates, rewards and episodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from sb3_carla.report.checks import DEAD, SATURATED, at
from sb3_carla.report.logs import Floats, Series
from sb3_carla.report.sign import Run, Sign
from sb3_carla.report.statistics import smooth, trend

_FAST, _USUAL = 3e-3, 1e-3  # learning rates of Adam above the first are unusual, up to the second usual
_LARGE_REWARD, _SMALL_REWARD = 10.0, 1e-3  # mean magnitude per step
_LARGE_GRADIENT = 1e4
_GREW = 100.0


# -- actor and gradients -----------------------------------------------------------------------------------------------


def _tail(series: Series) -> Floats:
    return series.values[-max(len(series) // 10, 1) :]


def _saturated(run: Run) -> Sign:
    name = next((name for name in sorted(run.logs.metrics) if name.endswith("saturated_share")), "")
    share = run.first(name)
    if share is None:
        return Sign(None, "the share of saturated actions was not logged")
    late = float(_tail(share).mean())
    text = f"{100 * late:.3g} % of the actions at their limits at the end"
    beyond = np.flatnonzero(share.values > SATURATED)
    began = int(share.steps[beyond[0]]) if late > SATURATED and len(beyond) else None
    return Sign(late > SATURATED, text, began, f"more than {100 * SATURATED:g} % of the actions at their limits")


def _actor_gradient_dead(run: Run) -> Sign:
    norms = run.first("grad_norm/actor_mlp", "stability/actor_grad_norm")
    if norms is None or len(norms) < 2:
        return Sign(None, "the actor's gradient norms were not logged")
    largest, late = float(norms.values.max()), float(_tail(norms).max())
    return Sign(late < DEAD * largest or largest == 0, f"gradient norm of the actor {late:.3g}, was {largest:.3g}")


def _cnn_alone(run: Run) -> Sign:
    cnn, mlp = run.first("grad_norm/actor_cnn"), run.first("grad_norm/actor_mlp", "stability/actor_grad_norm")
    if cnn is None or mlp is None:
        return Sign(None, "the actor's gradient norms were not logged per part")
    at_cnn, at_mlp = float(np.median(_tail(cnn))), float(np.median(_tail(mlp)))
    text = f"gradient norms at the end: actor CNN {at_cnn:.3g}, actor MLP {at_mlp:.3g}"
    return Sign(at_cnn > 1e3 * max(at_mlp, 1e-12) and at_cnn > 1e-2, text)


def _large_gradient(run: Run) -> Sign:
    logged = {**run.logs.under("stability/"), **run.logs.under("grad_norm/")}
    parts = {*run.logs.under("grad_norm/"), "actor_grad_norm", "critic_grad_norm"} & logged.keys()
    norms = {part: logged[part].finite for part in sorted(parts) if len(logged[part].finite)}
    if not norms:
        return Sign(None, "no gradient norms were logged")
    part = max(norms, key=lambda name: float(norms[name].values.max()))
    largest, where = float(norms[part].values.max()), np.flatnonzero(norms[part].values > _LARGE_GRADIENT)
    step = int(norms[part].steps[where[0]]) if len(where) else None
    return Sign(
        bool(len(where)),
        f"largest gradient norm before clipping {largest:.4g} ({part})",
        step,
        f"gradient norm of {part} above {_LARGE_GRADIENT:g}",
    )


def _leak_probe(run: Run) -> Sign:
    probes = {name: series for name, series in run.logs.metrics.items() if "leak" in name and len(series.finite)}
    if not probes:
        return Sign(None, "no leak probe was run")
    fired = {name: series.finite for name, series in probes.items() if (series.finite.values > 0).any()}
    if not fired:
        return Sign(False, "the leak probe found nothing")
    name, series = next(iter(fired.items()))
    return Sign(True, f"the leak probe fired ({name})", int(series.steps[series.values > 0][0]), "leak probe fired")


def _fast_learning_rate(run: Run) -> Sign:
    logged = [
        series.finite.values.max()
        for n, series in run.logs.metrics.items()
        if "learning_rate" in n and len(series.finite)
    ]
    rates = [float(rate) for rate in logged] or [rate for rate in (run.settings.learning_rate,) if rate is not None]
    if not rates:
        return Sign(None, "the learning rate is not known")
    rate = max(rates)
    if _USUAL < rate < _FAST:
        return Sign(None, f"learning rate {rate:.3g}, neither unusual nor small")
    return Sign(rate >= _FAST, f"learning rate {rate:.3g}")


# -- rewards and episodes ----------------------------------------------------------------------------------------------


def _reward_per_step(run: Run) -> float | None:
    rewards, lengths = run.first("rollout/ep_rew_mean"), run.first("rollout/ep_len_mean")
    if rewards is None or lengths is None:
        return None
    return float(np.median(np.abs(rewards.values) / np.maximum(at(lengths, rewards.steps), 1.0)))


def _large_rewards(run: Run) -> Sign:
    size = _reward_per_step(run)
    if size is None:
        return Sign(None, "episode rewards and lengths were not logged")
    return Sign(size > _LARGE_REWARD, f"mean reward per step of magnitude {size:.3g}")


def _small_rewards(run: Run) -> Sign:
    size = _reward_per_step(run)
    if size is None:
        return Sign(None, "episode rewards and lengths were not logged")
    return Sign(size < _SMALL_REWARD, f"mean reward per step of magnitude {size:.3g}")


def _reward_rises(run: Run) -> Sign:
    rewards = run.first("eval/mean_reward", "rollout/ep_rew_mean")
    if rewards is None:
        return Sign(None, "no episode rewards were logged")
    direction = trend(rewards)
    if direction == "too few values":
        return Sign(None, f"{len(rewards)} episode rewards, too few for a trend")
    return Sign(
        direction.startswith("rising"), f"reward {direction}: {rewards.values[0]:.4g} to {rewards.values[-1]:.4g}"
    )


def _episodes_collapse(run: Run) -> Sign:
    lengths = run.first("rollout/ep_len_mean")
    if lengths is None or len(lengths) < 2:
        return Sign(None, "too few episode lengths")
    means = smooth(lengths)
    best, final = float(means.values.max()), float(means.values[-1])
    return Sign(best >= 3.0 * max(final, 1e-9), f"episodes {best:.4g} steps at best, {final:.4g} at the end")


def _untrained(run: Run) -> Sign:
    trained = [name for name in run.logs.metrics if name.startswith("train/") and len(run.logs.metrics[name].finite)]
    if trained:
        return Sign(False, f"{len(trained)} training metrics")
    return Sign(True, f"no training metric up to step {run.logs.last_step}")


# -- other algorithms --------------------------------------------------------------------------------------------------


def _entropy_coefficient_grows(run: Run) -> Sign:
    series = run.first("train/ent_coef")
    if series is None or len(series) < 6:
        return Sign(None, "no entropy coefficient was logged")
    smallest = float(np.abs(series.values[: max(len(series) // 2, 1)]).min())
    last = float(np.abs(series.values[-1]))
    return Sign(
        last > _GREW * max(smallest, 1e-9), f"entropy coefficient {smallest:.3g} at its lowest, {last:.3g} at the end"
    )


def _large_policy_steps(run: Run) -> Sign:
    series = run.first("train/approx_kl")
    if series is None:
        return Sign(None, "no approx_kl was logged")
    late = float(np.median(series.values))
    beyond = np.flatnonzero(series.values > 0.1)
    first = int(series.steps[beyond[0]]) if len(beyond) else None
    return Sign(late > 0.05, f"median approx_kl {late:.3g}", first, "approx_kl above 0.1")


def _entropy_gone(run: Run) -> Sign:
    series = run.first("train/entropy_loss")
    if series is None or len(series) < 6:
        return Sign(None, "no entropy was logged")
    first, last = -float(series.values[0]), -float(series.values[-1])
    text = f"entropy {first:.3g} at first, {last:.3g} at the end"
    return Sign(first > 0 and last < 0.02 * first, text)


def _value_unexplained(run: Run) -> Sign:
    series = run.first("train/explained_variance")
    if series is None:
        return Sign(None, "no explained_variance was logged")
    late = float(np.median(_tail(series)))
    return Sign(late < 0.05, f"explained variance {late:.3g} at the end")


LEARNING_SIGNS: Mapping[str, Callable[[Run], Sign]] = {
    "saturated": _saturated,
    "actor_gradient_dead": _actor_gradient_dead,
    "cnn_alone": _cnn_alone,
    "large_gradient": _large_gradient,
    "leak_probe": _leak_probe,
    "fast_learning_rate": _fast_learning_rate,
    "large_rewards": _large_rewards,
    "small_rewards": _small_rewards,
    "reward_rises": _reward_rises,
    "episodes_collapse": _episodes_collapse,
    "untrained": _untrained,
    "entropy_coefficient_grows": _entropy_coefficient_grows,
    "large_policy_steps": _large_policy_steps,
    "entropy_gone": _entropy_gone,
    "value_unexplained": _value_unexplained,
}
