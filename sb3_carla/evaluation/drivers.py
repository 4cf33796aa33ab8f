"""Who drives in an evaluation: a trained model, or one of the baselines to compare it with.

========== ==============================================================================
baseline   how it drives
========== ==============================================================================
constant   straight on with full throttle
random     uniformly drawn actions
autopilot  CARLA's traffic manager
pursuit    pure pursuit and a speed controller that know the lane and the traffic
========== ==============================================================================
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.utils import obs_as_tensor

from sb3_carla.command_line import CommandError
from sb3_carla.envs import CarlaEnv, Scenario
from sb3_carla.envs.actions import DISCRETE_ACTIONS
from sb3_carla.envs.errors import did_you_mean
from sb3_carla.envs.pursuit import PursuitDriver
from sb3_carla.td3.policies import AsymmetricPolicy

BASELINES = ("constant", "random", "autopilot", "pursuit")
CRUISE_SHARE = 0.96  # of the target speed, at which the pursuit driver cruises: above it earns nothing
Heat = npt.NDArray[np.float32]  # (height, width), 0..1


class Driver:
    """One who drives. A baseline needs no more than :meth:`act`."""

    name: str = ""
    env_kwargs: dict[str, Any] = {}  # noqa: RUF012 (replaced, never changed): what it needs of CarlaEnv
    reset_options: dict[str, Any] = {}  # noqa: RUF012

    def begin(self, env: CarlaEnv, seed: int) -> None:
        """Prepare for an episode in an env."""

    def act(self, observation: Any) -> Any:
        """The action for an observation."""
        raise NotImplementedError

    def value(self, observation: Any, action: Any) -> float | None:
        """What the driver expects of an action; None if it expects nothing."""
        return None

    def saliency(self, observation: Any) -> Heat | None:
        """Where in the picture a change would change the most; None without a network."""
        return None


class Constant(Driver):
    """Straight on with full throttle, or standing still as the autopilot's passenger.

    :param name: of the baseline
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.reset_options = {"autopilot": True} if name == "autopilot" else {}
        self._action: Any = None

    def begin(self, env: CarlaEnv, seed: int) -> None:
        """Look up what full throttle is in this env."""
        discrete = env.scenario.actions == "discrete"
        self._action = DISCRETE_ACTIONS.index((0.0, 1.0)) if discrete else np.array([0.0, 1.0], np.float32)

    def act(self, observation: Any) -> Any:
        """The same again."""
        return self._action


class Random(Driver):
    """Uniformly drawn actions."""

    name = "random"

    def begin(self, env: CarlaEnv, seed: int) -> None:
        """Seed the draws."""
        self._space = env.action_space
        self._space.seed(seed)

    def act(self, observation: Any) -> Any:
        """Draw."""
        return self._space.sample()


class Pursuit(Driver):
    """The driver that knows lane and traffic, see :mod:`sb3_carla.envs.pursuit`."""

    name = "pursuit"
    env_kwargs = {"observation": "dict", "state": "traffic", "actions": "continuous"}  # noqa: RUF012

    def begin(self, env: CarlaEnv, seed: int) -> None:
        """Take the scenario's car and speed."""
        scenario: Scenario = env.scenario
        self._driver = PursuitDriver(
            CRUISE_SHARE * scenario.target_speed, max_steer=scenario.max_steer, max_brake=scenario.max_brake
        )

    def act(self, observation: Any) -> Any:
        """Pursue."""
        return self._driver.predict(observation)[0]


class Model(Driver):
    """A trained model of SB3, sb3-contrib or this package.

    :param path: the model file
    :param algo: rl_zoo3's name of the algorithm that wrote it
    :raises CommandError: when it cannot be loaded
    """

    def __init__(self, path: Path, algo: str) -> None:
        from rl_zoo3.utils import ALGOS

        from sb3_carla.zoo.models import check_model_file, interface_of, normalizer_of
        from sb3_carla.zoo.options import register

        register()
        if algo not in ALGOS:
            raise CommandError(f"There is no algorithm {algo!r}. {did_you_mean(algo, ALGOS)}")
        check_model_file(path, algo)
        # Nothing is stored while evaluating; a full buffer would take gigabytes.
        self.model: BaseAlgorithm = ALGOS[algo].load(path, device="cpu", custom_objects={"buffer_size": 1})
        self.name = path.stem
        self.env_kwargs = interface_of(path)
        normalizer = normalizer_of(path)
        self._normalizer = None if normalizer is None else pickle.loads(normalizer.read_bytes())

    def begin(self, env: CarlaEnv, seed: int) -> None:
        """Compare what the model sees and does with what the env gives and takes."""
        for kind in ("observation_space", "action_space"):
            trained, offered = getattr(self.model, kind), getattr(env, kind)
            if not _same_space(trained, offered):
                raise CommandError(
                    f"The model {self.name} was trained with the {kind.replace('_', ' ')} {trained}, and "
                    f"{env.scenario.name} has {offered}. Give the options it was trained with by --env-kwargs."
                )

    def act(self, observation: Any) -> Any:
        """The model's action without exploration."""
        return self.model.predict(self._normalized(observation), deterministic=True)[0]

    def value(self, observation: Any, action: Any) -> float | None:
        """The first critic's Q-value of an action, or the value of the state, whichever the model has."""
        with torch.no_grad():
            value = self._value(self._tensor(observation), action)
        return None if value is None else float(value.reshape(-1)[0])

    def saliency(self, observation: Any) -> Heat | None:
        """The gradient of the model's value with respect to each pixel, absolute, smoothed, over the frames.

        Of a model whose critic reads no picture, the gradient of its action.

        Source: Simonyan et al., "Deep Inside Convolutional Networks", 2014.
        """
        import cv2

        tensor = self._tensor(observation)
        image = tensor["image"] if isinstance(tensor, dict) else tensor
        image = image.float().requires_grad_(True)
        seen = {**tensor, "image": image} if isinstance(tensor, dict) else image
        policy: Any = self.model.policy
        blind = isinstance(policy, AsymmetricPolicy)
        value = policy.actor(seen) if blind else self._value(seen, self.act(observation))
        if value is None:
            return None
        value.sum().backward()
        policy.zero_grad(set_to_none=True)
        if image.grad is None:
            return None
        heat = cv2.GaussianBlur(image.grad[0].abs().amax(dim=0).numpy(), (5, 5), 0)
        return np.asarray(heat / max(float(heat.max()), 1e-12), np.float32)

    def _value(self, tensor: Any, action: Any) -> torch.Tensor | None:
        policy: Any = self.model.policy
        network = getattr(policy, "q_net", None) or getattr(policy, "quantile_net", None)
        if network is not None:  # DQN and QR-DQN
            values: torch.Tensor = network(tensor)
            return values.reshape(values.shape[0], -1, values.shape[-1]).mean(dim=1).amax(dim=1)
        if getattr(policy, "critic", None) is not None:  # TD3, DDPG, SAC, TQC (which gives quantiles)
            critic = policy.critic
            scaled = torch.as_tensor(policy.scale_action(action)).float().reshape(1, -1)
            # Not by the critic's own calls: they keep the gradient from the picture.
            features = critic.extract_features(tensor, critic.features_extractor)
            networks = critic.q_networks
            return networks[0](torch.cat([features, scaled], dim=1)).mean(dim=1)  # type: ignore[no-any-return]
        if hasattr(policy, "predict_values"):  # PPO, A2C
            return policy.predict_values(tensor)  # type: ignore[no-any-return]
        return None

    def _normalized(self, observation: Any) -> Any:
        return observation if self._normalizer is None else self._normalizer.normalize_obs(observation)

    def _tensor(self, observation: Any) -> Any:
        observation = self._normalized(observation)
        if isinstance(observation, dict):
            return obs_as_tensor({key: value[None] for key, value in observation.items()}, self.model.device)
        return obs_as_tensor(observation[None], self.model.device)


def make_driver(name: str, algo: str) -> Driver:
    """The driver of that name.

    :param name: one of :data:`BASELINES`, a trained policy that comes with the package, or the path of a model file
    :param algo: rl_zoo3's name of the algorithm that wrote a model file
    :raises CommandError: when it is none of these
    """
    if name in ("constant", "autopilot"):
        return Constant(name)
    if name == "random":
        return Random()
    if name == "pursuit":
        return Pursuit()
    from sb3_carla.zoo.models import pretrained_model, pretrained_names

    path = pretrained_model(name) if name in pretrained_names() else Path(name)
    if not path.is_file():
        hint = did_you_mean(name, [*BASELINES, *pretrained_names()]) if path.suffix != ".zip" else "Check the path."
        raise CommandError(f"There is neither a baseline nor a model file {name!r}. {hint}")
    return Model(path, algo)


def _same_space(trained: Any, offered: Any) -> bool:
    if hasattr(trained, "spaces") and hasattr(offered, "spaces"):
        return set(trained.spaces) == set(offered.spaces) and all(
            _same_space(space, offered.spaces[key]) for key, space in trained.spaces.items()
        )
    return type(trained) is type(offered) and trained.shape == offered.shape and trained.dtype == offered.dtype
