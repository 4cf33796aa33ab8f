"""DQN and QR-DQN, whose action is the one with the largest Q."""

from __future__ import annotations

import numpy as np
import pytest
import torch as th
from sb3_contrib import QRDQN
from stable_baselines3 import DQN

from sb3_stability import (
    HealthyCheckpoints,
    Readings,
    RollbackToHealthyCheckpoint,
    StabilityMonitor,
    StagedTraining,
    StopTrainingOnActorLossExplosion,
    StopTrainingOnGradientExplosion,
    StopTrainingOnLeakyActorLoss,
    StopTrainingOnNonFinite,
    StopTrainingOnQValueExplosion,
    UnreadableModelError,
)


def network(model):
    return model.q_net if isinstance(model, DQN) else model.quantile_net


def small(algorithm, **arguments):
    arguments = {"learning_starts": 50, "seed": 0, "batch_size": 32, "buffer_size": 2000, **arguments}
    return algorithm("MlpPolicy", "CartPole-v1", policy_kwargs={"net_arch": [32]}, **arguments)


def inflated(algorithm):
    """Each update makes the last layer 20 % larger."""

    class Inflated(algorithm):
        def train(self, gradient_steps, batch_size=100):
            super().train(gradient_steps, batch_size)
            with th.no_grad():
                for parameter in list(network(self).parameters())[-2:]:
                    parameter.mul_(1.2)

    return Inflated


@pytest.fixture(params=[DQN, QRDQN])
def algorithm(request):
    return request.param


def test_a_reading_has_the_largest_q_and_that_of_the_replayed_actions(algorithm):
    model = small(algorithm)
    model.learn(60)
    np.random.seed(3)  # noqa: NPY002  (what SB3's buffers draw from)
    reading = Readings.of(model, batch_size=16).latest()
    np.random.seed(3)  # noqa: NPY002
    batch = model.replay_buffer.sample(16)
    with th.no_grad():
        values = network(model)(batch.observations)
    values = values.mean(dim=1) if algorithm is QRDQN else values
    assert values.shape == (16, 2)
    expected = [values[i, action].item() for i, action in enumerate(batch.actions.flatten().tolist())]
    assert reading.q_policy_mean == pytest.approx(values.max(dim=1).values.mean().item(), rel=1e-5)
    assert reading.q_replay_mean == pytest.approx(np.mean(expected), rel=1e-5)
    assert (reading.actor_loss, reading.saturated_share, dict(reading.grad_norms)) == (None, None, {})


def test_a_healthy_run_is_left_alone_and_goes_as_without_callbacks(algorithm, tmp_path):
    bare = small(algorithm)
    bare.learn(600)
    monitor, stages = StabilityMonitor(verbose=0), StagedTraining(gates=(300,), verbose=0)
    stops = [StopTrainingOnQValueExplosion(), StopTrainingOnNonFinite(), stages]
    watched = small(algorithm)
    watched.learn(600, callback=[*stops, monitor, HealthyCheckpoints(tmp_path, steps=(400,), verbose=0)])
    assert [stop.triggered for stop in stops] == [False] * 3
    assert monitor.warnings == []
    assert str(stages.checklists[300][0]).startswith("[pass] Q in range")
    for mine, theirs in zip(network(watched).parameters(), network(bare).parameters(), strict=True):
        assert th.equal(mine, theirs)


def test_an_explosion_stops_the_run(algorithm):
    stop = StopTrainingOnQValueExplosion(verbose=0)
    model = small(inflated(algorithm))
    model.learn(3000, callback=stop)
    assert stop.triggered
    assert model.num_timesteps < 3000
    assert "the mean Q(s, pi(s)) was" in stop.message


def test_nan_in_a_parameter_stops_the_run(algorithm):
    class Broken(algorithm):
        def train(self, gradient_steps, batch_size=100):
            super().train(gradient_steps, batch_size)
            if self.num_timesteps == 100:
                with th.no_grad():
                    next(network(self).parameters()).view(-1)[0] = float("nan")

    stop = StopTrainingOnNonFinite(verbose=0)
    model = small(Broken)
    model.learn(3000, callback=stop)
    assert stop.triggered
    assert model.num_timesteps < 200
    assert "Q" in stop.message


def test_a_run_goes_back_to_its_last_healthy_checkpoint(algorithm, tmp_path):
    rollback = RollbackToHealthyCheckpoint(tmp_path, every=50, max_rollbacks=2, verbose=0)
    model = small(inflated(algorithm))
    model.learn(3000, callback=rollback)
    assert len(rollback.rollbacks) == 2
    assert rollback.triggered
    assert all(np.isfinite(parameter.detach().numpy()).all() for parameter in network(model).parameters())


@pytest.mark.parametrize(
    "callback", [StopTrainingOnActorLossExplosion, StopTrainingOnGradientExplosion, StopTrainingOnLeakyActorLoss]
)
def test_what_needs_an_actor_says_so(callback):
    with pytest.raises(UnreadableModelError, match=r"DQN.*Leave"):
        small(DQN).learn(200, callback=callback())
