from __future__ import annotations

import pytest
import torch as th
from sb3_contrib import CrossQ
from small_models import ALGORITHMS, LeakyTD3, NoiseFrames, SmallCNN, camera_model, small
from stable_baselines3 import PPO, SAC, TD3

from sb3_stability import (
    LeakyActorLossError,
    StabilityMonitor,
    StopTrainingOnLeakyActorLoss,
    UnreadableModelError,
    check_actor_loss,
    leaking_parameters,
)


class LeakySAC(SAC):
    """The critic is asked about the actor's own features, with the gradient let through, in SAC's actor update."""

    def train(self, gradient_steps, batch_size=64):
        for _ in range(gradient_steps):
            data = self.replay_buffer.sample(batch_size, env=self._vec_normalize_env)
            actions, log_prob = self.actor.action_log_prob(data.observations)
            state = self.actor.extract_features(data.observations, self.actor.features_extractor)
            value = self.critic.q_networks[0](th.cat([state, actions], 1))
            loss = (0.1 * log_prob.reshape(-1, 1) - value).mean()
            self.actor.optimizer.zero_grad()
            loss.backward()
            self.actor.optimizer.step()
        self._n_updates += gradient_steps


def with_data(model, steps=60):
    """Fill the replay buffer, without an update."""
    starts, model.learning_starts = model.learning_starts, steps + 1
    model.learn(steps)
    model.learning_starts = starts
    return model


def state(model):
    """Everything that training changes, as text that can be compared."""
    numbers = {name: value for name, value in model.__dict__.items() if isinstance(value, (int, float, str))}
    optimizers = [model.actor.optimizer.state_dict(), model.critic.optimizer.state_dict()]
    weights = {name: value.double().sum().item() for name, value in model.policy.state_dict().items()}
    return repr((numbers, optimizers, weights, getattr(model, "log_ent_coef", None), th.get_rng_state().sum()))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_algorithms_of_sb3_and_sb3_contrib_do_not_leak_and_are_not_changed_by_the_probe(algorithm):
    model = with_data(small(algorithm))
    before = state(model)
    check_actor_loss(model)
    assert state(model) == before
    assert all(parameter.grad is None for parameter in model.policy.parameters())


def image_model(algorithm, **arguments):
    policy_kwargs = {"net_arch": [32], "features_extractor_class": SmallCNN, **arguments.pop("policy_kwargs", {})}
    return algorithm("CnnPolicy", NoiseFrames(), policy_kwargs=policy_kwargs, buffer_size=500, seed=0, **arguments)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("algorithm", [TD3, SAC])
def test_stock_algorithms_on_images_do_not_leak_even_with_a_shared_encoder(algorithm, shared):
    check_actor_loss(with_data(image_model(algorithm, policy_kwargs={"share_features_extractor": shared})))


def test_state_dependent_exploration_is_no_leak():
    check_actor_loss(with_data(small(SAC, use_sde=True)))


def test_a_leaky_td3_is_named_with_its_parameters_and_the_fix():
    with pytest.raises(LeakyActorLossError) as error:
        check_actor_loss(with_data(camera_model(LeakyTD3), 100))
    names = error.value.parameters
    assert {name for name in names if "features_extractor" not in name} == set()
    assert "actor.features_extractor.layers.0.weight" in names
    assert "actor.features_extractor.layers" in str(error.value)
    assert "critic.q1_forward" in str(error.value)


def test_a_leak_is_told_from_the_entropy_term():
    model = with_data(image_model(LeakySAC, policy_kwargs={"net_arch": [16]}))
    with pytest.raises(LeakyActorLossError) as error:
        check_actor_loss(model)
    assert all("features_extractor" in name for name in error.value.parameters)


def test_a_loss_of_the_users_own_can_be_given():
    model = with_data(image_model(TD3))
    critic, actor = model.critic, model.actor

    def right(batch):
        return -critic.q1_forward(batch.observations, actor(batch.observations)).mean()

    def wrong(batch):
        state = actor.extract_features(batch.observations, actor.features_extractor)
        return -critic.q_networks[0](th.cat([state, actor.mu(state)], 1)).mean()

    check_actor_loss(model, right)
    with pytest.raises(LeakyActorLossError):
        check_actor_loss(model, wrong)
    check_actor_loss(model, lambda batch: wrong(batch).detach())


def test_a_penalty_on_the_action_before_tanh_is_no_leak():
    model = with_data(small(TD3))
    actor = model.actor

    def loss(batch):
        features = actor.extract_features(batch.observations, actor.features_extractor)
        return (
            -model.critic.q1_forward(batch.observations, actor(batch.observations)).mean()
            + actor.mu[:-1](features).square().mean()
        )

    check_actor_loss(model, loss)


def test_any_network_and_loss_of_pytorch_can_be_tried():
    encoder, head, critic = th.nn.Linear(3, 4), th.nn.Linear(4, 2), th.nn.Linear(6, 1)
    actor = th.nn.Sequential(encoder, head)
    observations = th.ones(5, 3)

    def loss(detach):
        state = encoder(observations)
        return -critic(th.cat([state.detach() if detach else state, actor(observations)], 1)).mean()

    assert leaking_parameters(actor, lambda: loss(True)) == {}
    assert set(leaking_parameters(actor, lambda: loss(False))) == {"0.weight", "0.bias"}
    assert encoder.weight.grad is None


def test_the_callback_raises_before_the_first_update():
    model = camera_model(LeakyTD3)
    with pytest.raises(LeakyActorLossError):
        model.learn(500, callback=StopTrainingOnLeakyActorLoss())
    assert model._n_updates == 0
    assert not any(module._forward_hooks for module in model.policy.modules())


@pytest.mark.parametrize("algorithm", [TD3, CrossQ])
def test_the_callback_changes_nothing_in_a_healthy_run(algorithm):
    runs = [small(algorithm).learn(80, callback=callback) for callback in (None, StopTrainingOnLeakyActorLoss())]
    weights = [run.policy.state_dict() for run in runs]
    assert all(th.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_the_monitor_only_warns_of_a_leak(capsys):
    model, monitor = camera_model(LeakyTD3), StabilityMonitor()
    model.learn(203, callback=monitor)
    assert model.num_timesteps == 203
    assert len(monitor.warnings) == 1
    assert "by another way than the action" in capsys.readouterr().out


def test_a_train_method_that_fails_in_the_probe_is_said_and_not_fatal(capsys):
    class Picky(TD3):
        def train(self, gradient_steps, batch_size=100):
            if batch_size != self.batch_size:
                raise RuntimeError("only whole batches")
            super().train(gradient_steps, batch_size)

    model = small(Picky)
    model.learn(60, callback=StopTrainingOnLeakyActorLoss())
    assert model._n_updates > 0
    assert "only whole batches" in capsys.readouterr().out


def test_a_model_without_an_actor_and_critic_is_refused():
    with pytest.raises(UnreadableModelError):
        check_actor_loss(PPO("MlpPolicy", "Pendulum-v1", n_steps=64))
