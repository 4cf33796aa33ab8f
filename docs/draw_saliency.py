"""Draw where a trained policy looks when it steers, and where a saturated one does.

    python benchmarks/learn.py --recipes "sb3, our env and schedule" --seeds 0 --steps 5000 --every 5000 --folder stock
    python docs/draw_saliency.py TRAINED.zip stock/runs/.../Carla-v0.zip docs/images/saliency.png

Both policies look at the same pictures: moments of a drive of the first one. Heat is |d steering / d pixel|, over the
four frames its maximum, smoothed, after Simonyan et al., "Deep Inside Convolutional Networks", 2014; it has one scale
for the whole picture. Prints how far the steering moves, to first order, when each pixel moves by one grey level in the
direction that matters most: the sum of the absolute gradients.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch as th

from sb3_carla import TD3, CarlaEnv
from sb3_carla.evaluation import make_driver

MOMENTS = (20, 60, 100, 140, 180)  # env steps of the drive
SIZE = 252  # [pixel] of one picture
TITLES = ("trained", "saturated")


def moments(model: TD3, env: CarlaEnv, seed: int) -> list[npt.NDArray[np.uint8]]:
    """The observations at :data:`MOMENTS`; fewer if the episode ends before."""
    seen = []
    observation, _ = env.reset(seed=seed)
    for step in range(MOMENTS[-1] + 1):
        if step in MOMENTS:
            seen.append(observation)
        action, _ = model.predict(observation, deterministic=True)
        observation, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            break
    return seen


def gradient(model: TD3, observation: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """|d steering / d pixel|, per grey level: of the observation's shape."""
    image = th.as_tensor(observation[None]).float().requires_grad_(True)
    model.actor(image)[0, 0].backward()
    assert image.grad is not None
    return np.asarray(image.grad[0].abs().numpy(), np.float32)


def cell(observation: npt.NDArray[np.uint8], heat: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """The newest frame under its heat, which is in [0, 1]: (SIZE, SIZE, 3), BGR."""
    frame = cv2.cvtColor(cv2.resize(observation[-1], (SIZE, SIZE), interpolation=cv2.INTER_NEAREST), cv2.COLOR_GRAY2BGR)
    colours = cv2.applyColorMap((cv2.resize(heat, (SIZE, SIZE)) * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    return np.asarray(cv2.addWeighted(frame, 0.55, colours, 0.7, 0.0), np.uint8)


def main() -> None:
    """Draw it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trained", type=Path)
    parser.add_argument("saturated", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    models = [TD3.load(path, device="cpu", buffer_size=1) for path in (options.trained, options.saturated)]
    env = CarlaEnv(**make_driver(str(options.trained), "td3").env_kwargs)
    seen = moments(models[0], env, options.seed)
    env.close()
    gradients = [[gradient(model, observation) for observation in seen] for model in models]
    heats = [[cv2.GaussianBlur(one.max(axis=0), (5, 5), 0) for one in row] for row in gradients]
    scale = max(float(heat.max()) for row in heats for heat in row)
    rows = []
    for title, model, row, sums in zip(TITLES, models, heats, gradients, strict=True):
        steering = [float(model.predict(observation, deterministic=True)[0][0]) for observation in seen]
        print(
            f"{title}: steering moves by {np.mean([one.sum() for one in sums]):.3g} for one grey level everywhere; "
            f"it is {', '.join(f'{steer:+.2f}' for steer in steering)}"
        )
        cells = [cell(observation, heat / scale) for observation, heat in zip(seen, row, strict=True)]
        cv2.putText(cells[0], title, (8, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 255), 2, cv2.LINE_AA)
        rows.append(np.hstack(cells))
    options.picture.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(options.picture), np.vstack(rows))


if __name__ == "__main__":
    main()
