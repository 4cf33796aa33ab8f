"""Draw a trained policy in the embedded simulator, from behind and as the network sees it.

python docs/draw_driving.py runs/td3/Carla-v0_1/Carla-v0.zip docs/images/driving.png           # moments of one drive
python docs/draw_driving.py runs/td3/Carla-v0_1/Carla-v0.zip docs/images/worlds.png --worlds   # one moment of several
python docs/draw_driving.py MODEL docs/images/traffic.png --scenario light_traffic --seed 1000
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from sb3_carla import CarlaEnv
from sb3_carla.evaluation import Driver, make_driver

Image = npt.NDArray[np.uint8]

MOMENTS = (60, 130, 240)  # env steps at which a row of the picture is taken
MOMENT = (25,)  # the same in several worlds
WORLDS: dict[str, dict[str, str]] = {  # title and CarlaEnv's arguments; the first is what was trained in
    "training town": {},
    "unseen town": {"town": "Town_Curves"},
    "traffic": {"scenario": "light_traffic"},
    "rain": {"scenario": "rain"},
}
GAP = 6  # [pixel] between the parts


def drive(driver: Driver, env: CarlaEnv, seed: int, moments: tuple[int, ...]) -> list[tuple[Image, Image]]:
    """The views from behind and the observations at some steps of one episode; fewer if it ends before."""
    views: list[tuple[Image, Image]] = []
    driver.begin(env, seed)
    observation, _ = env.reset(seed=seed)
    for step in range(moments[-1] + 1):
        if step in moments:
            view = env.render()
            assert view is not None
            views.append((view, observation["image"] if isinstance(observation, dict) else observation))
        observation, _, terminated, truncated, _ = env.step(driver.act(observation))
        if terminated or truncated:
            break
    return views


def row(view: Image, observation: Image) -> Image:
    """One moment: the view from behind, then the four frames of the observation, oldest first."""
    height = view.shape[0]
    side = (height - GAP) // 2
    frames = [
        cv2.cvtColor(cv2.resize(f, (side, side), interpolation=cv2.INTER_NEAREST), cv2.COLOR_GRAY2RGB)
        for f in observation
    ]
    blank = np.full((side, GAP, 3), 255, np.uint8)
    upper, lower = (np.hstack([blank, frames[i], blank, frames[i + 1]]) for i in (0, 2))
    between = np.full((height - 2 * side, upper.shape[1], 3), 255, np.uint8)
    return np.hstack([view, np.vstack([upper, between, lower])])


def main() -> None:
    """Draw it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scenario", default="lane_following", help="of one drive (default: %(default)s)")
    parser.add_argument("--worlds", action="store_true", help="one moment in each of several worlds")
    options = parser.parse_args()
    driver = make_driver(str(options.model), "td3")
    rows = []
    for title, arguments in WORLDS.items() if options.worlds else [("", {"scenario": options.scenario})]:
        env = CarlaEnv(**{**driver.env_kwargs, **arguments}, render_mode="rgb_array")
        moments = drive(driver, env, options.seed, MOMENT if options.worlds else MOMENTS)
        env.close()
        for moment in moments:
            cv2.putText(moment[0], title, (12, 32), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (255, 255, 255), 2, cv2.LINE_AA)
            rows.append(row(*moment))
    gap = np.full((GAP, rows[0].shape[1], 3), 255, np.uint8)
    picture = np.vstack([part for one in rows for part in (one, gap)][:-1])
    options.picture.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(options.picture), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main()
