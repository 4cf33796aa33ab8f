"""Export the policy of a trained model to ONNX, to run it without torch, and check that it acts as the model does.

Usage: python examples/onnx_export.py MODEL.zip [POLICY.onnx]

Needs the packages onnx and onnxscript: pip install ".[onnx]" in a checkout. The exported policy takes observations as
the environment gives them (uint8 images, one input per entry of a Dict), any number at once, and returns the actions.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch as th
from gymnasium import spaces
from onnx.reference import ReferenceEvaluator

from sb3_carla import TD3

TOLERANCE = 1e-4  # of an action in [-1, 1]: the two sum in different orders


class Policy(th.nn.Module):
    """From observations to actions in the action space, as ``model.predict`` computes them."""

    def __init__(self, model: TD3) -> None:
        super().__init__()
        self.actor = model.actor
        space = model.observation_space
        self.keys = list(space.spaces) if isinstance(space, spaces.Dict) else []
        assert isinstance(model.action_space, spaces.Box)
        self.register_buffer("low", th.as_tensor(model.action_space.low))
        self.register_buffer("high", th.as_tensor(model.action_space.high))

    def forward(self, *entries: th.Tensor) -> th.Tensor:
        """Act on an observation, or on the entries of a Dict observation in their order."""
        actions = self.actor(dict(zip(self.keys, entries, strict=True)) if self.keys else entries[0])
        return self.low + 0.5 * (actions + 1.0) * (self.high - self.low)


def sample(space: spaces.Space, size: int) -> dict[str, np.ndarray]:
    """Draw observations, by the name of the input."""
    named = space.spaces if isinstance(space, spaces.Dict) else {"observation": space}
    return {name: np.stack([entry.sample() for _ in range(size)]) for name, entry in named.items()}


def export(model: TD3, path: Path) -> None:
    """Write the policy of a model as an ONNX file."""
    observations = sample(model.observation_space, 2)
    th.onnx.export(
        Policy(model).eval(),
        tuple(map(th.as_tensor, observations.values())),
        str(path),
        input_names=list(observations),
        output_names=["action"],
        dynamic_shapes={"entries": tuple({0: th.export.Dim("batch")} for _ in observations)},
        dynamo=True,
        external_data=False,
        verbose=False,
    )


def largest_difference(model: TD3, path: Path, size: int = 4) -> float:
    """Compare the actions of the file with those of the model, on random observations."""
    observations = sample(model.observation_space, size)
    (found,) = ReferenceEvaluator(str(path)).run(None, observations)
    single = not isinstance(model.observation_space, spaces.Dict)
    expected, _ = model.predict(observations["observation"] if single else observations, deterministic=True)
    return float(np.abs(found - expected).max())


def main(model_path: Path, path: Path) -> None:
    model = TD3.load(model_path, device="cpu")
    export(model, path)
    difference = largest_difference(model, path)
    if not difference <= TOLERANCE:
        raise SystemExit(f"The exported policy differs from the model by {difference:g}. Do not use {path}.")
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, actions equal those of {model_path} (within {difference:.1g})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("policy", type=Path, nargs="?", default=Path("policy.onnx"))
    arguments = parser.parse_args()
    main(arguments.model, arguments.policy)
