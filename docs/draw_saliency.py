"""Draw where policies look when they steer.

    python docs/draw_saliency.py docs/images/saliency.png trained=MODEL.zip saturated=OTHER.zip

Each row is a policy. All look at the same moments of a drive of CARLA's autopilot, each through the camera that it was
trained with. Heat is |d steering / d pixel|, over the four frames its maximum, smoothed, after Simonyan et al., "Deep
Inside Convolutional Networks", 2014; it has one scale for each row. Prints how far the steering moves, to first order,
when each pixel moves by one grey level in the direction that matters most: the sum of the absolute gradients.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch as th

from sb3_carla import TD3, CarlaEnv
from sb3_carla.evaluation import make_driver

Observation = npt.NDArray[np.uint8] | dict[str, Any]

MOMENTS = (30, 70, 110, 150, 190)  # env steps of the drive
SIZE = 252  # [pixel] of one picture


def moments(env: CarlaEnv, seed: int) -> list[Observation]:
    """The observations at :data:`MOMENTS`."""
    seen = []
    observation, _ = env.reset(seed=seed, options={"autopilot": True})
    for step in range(MOMENTS[-1] + 1):
        if step in MOMENTS:
            seen.append(observation)
        observation, *_ = env.step(np.zeros(2))
    return seen


def frames(observation: Observation) -> npt.NDArray[np.uint8]:
    """The pictures of an observation, the newest last."""
    return observation["image"] if isinstance(observation, dict) else observation


def gradient(model: TD3, observation: Observation) -> npt.NDArray[np.float32]:
    """|d steering / d pixel|, per grey level: of the pictures' shape. The actor reads nothing but the pictures."""
    image = th.as_tensor(frames(observation)[None]).float().requires_grad_(True)
    model.actor({"image": image} if isinstance(observation, dict) else image)[0, 0].backward()
    assert image.grad is not None
    return np.asarray(image.grad[0].abs().numpy(), np.float32)


def cell(observation: Observation, heat: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """The newest frame under its heat, which is in [0, 1]: (SIZE, SIZE, 3), BGR."""
    newest = cv2.resize(frames(observation)[-1], (SIZE, SIZE), interpolation=cv2.INTER_NEAREST)
    frame = cv2.cvtColor(newest, cv2.COLOR_GRAY2BGR)
    colours = cv2.applyColorMap((cv2.resize(heat, (SIZE, SIZE)) * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    return np.asarray(cv2.addWeighted(frame, 0.55, colours, 0.7, 0.0), np.uint8)


def row(title: str, path: Path, seed: int) -> npt.NDArray[np.uint8]:
    """The pictures of one policy side by side; prints what it does."""
    model = TD3.load(path, device="cpu", buffer_size=1)
    env = CarlaEnv(**make_driver(str(path), "td3").env_kwargs)
    seen = moments(env, seed)
    env.close()
    gradients = [gradient(model, observation) for observation in seen]
    steering = [float(model.predict(observation, deterministic=True)[0][0]) for observation in seen]
    print(
        f"{title}: steering {', '.join(f'{steer:+.2f}' for steer in steering)}; it moves by "
        f"{np.mean([one.sum() for one in gradients]):.3g} for one grey level everywhere"
    )
    heats = [cv2.GaussianBlur(one.max(axis=0), (5, 5), 0) for one in gradients]
    scale = max(*(float(heat.max()) for heat in heats), 1e-12)
    cells = [cell(observation, heat / scale) for observation, heat in zip(seen, heats, strict=True)]
    cv2.putText(cells[0], title, (8, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 255), 2, cv2.LINE_AA)
    return np.hstack(cells)


def main() -> None:
    """Draw it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", type=Path)
    parser.add_argument("policies", nargs="+", metavar="TITLE=MODEL")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    pairs = [policy.split("=", 1) for policy in options.policies]
    picture = np.vstack([row(title, Path(path), options.seed) for title, path in pairs])
    options.picture.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(options.picture), picture)


if __name__ == "__main__":
    main()
