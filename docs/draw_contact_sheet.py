"""Draw one picture of everything that the embedded simulator's cameras can show: cameras, weathers, towns.

python docs/draw_contact_sheet.py docs/images/contact_sheet.jpg [--map FILE.xodr ...]

It draws straight from the renderer, without a server, and always the same.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from sb3_carla.simulator.camera import Camera
from sb3_carla.simulator.geometry import BODY, Transform
from sb3_carla.simulator.roads import RoadMap, built_in_maps
from sb3_carla.simulator.town import Town
from sb3_carla.simulator.weather import Weather

Image = npt.NDArray[np.uint8]

COLUMNS = 4
WIDTH, HEIGHT = 480, 300  # of one picture [pixels]
GAP = 6
FOV = 90.0
FLOW_GAIN = 8.0  # how much an optical flow is brightened

WEATHERS = {
    "clear noon": Weather(),
    "cloudy": Weather(cloudiness=75.0),
    "overcast": Weather(cloudiness=100.0, sun_altitude_angle=60.0),
    "sunset": Weather(sun_altitude_angle=9.0, sun_azimuth_angle=40.0, cloudiness=25.0),
    "hard rain": Weather(
        cloudiness=95.0, precipitation=90.0, precipitation_deposits=80.0, wetness=90.0, fog_density=6.0
    ),
    "wet noon": Weather(wetness=80.0, precipitation_deposits=60.0, cloudiness=15.0),
    "fog": Weather(fog_density=55.0, cloudiness=60.0),
    "dust storm": Weather(dust_storm=60.0),
    "clear night": Weather(sun_altitude_angle=-60.0),
    "evening": Weather(sun_altitude_angle=22.0, sun_azimuth_angle=220.0, cloudiness=35.0),
    "soft rain": Weather(cloudiness=70.0, precipitation=25.0, precipitation_deposits=30.0, wetness=40.0),
    "wet night": Weather(sun_altitude_angle=-60.0, wetness=80.0, precipitation_deposits=60.0, cloudiness=60.0),
}

# CARLA's palette of its semantic labels: R, G, B.
PALETTE = [
    (0, 0, 0), (128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153), (153, 153, 153),
    (250, 170, 30), (220, 220, 0), (107, 142, 35), (152, 251, 152), (70, 130, 180), (220, 20, 60), (255, 0, 0),
    (0, 0, 142), (0, 0, 70), (0, 60, 100), (0, 80, 100), (0, 0, 230), (119, 11, 32), (110, 190, 160),
    (170, 120, 50), (55, 90, 80), (45, 60, 150), (157, 234, 50), (81, 0, 81), (150, 100, 100), (230, 150, 140),
    (180, 165, 180),
]  # fmt: skip


def traffic(town: Town, number: int, seed: int = 3) -> npt.NDArray[np.void]:
    """Road users around a spawn point: on it, ahead, coming towards it, and walking beside it."""
    random = np.random.default_rng(seed)
    here = town.roads.spawn_points[number]
    colours = [
        (176, 30, 34), (24, 60, 150), (224, 224, 220), (30, 32, 36), (150, 156, 160), (20, 96, 60), (226, 150, 30),
    ]  # fmt: skip
    kinds = [
        (14, (2.4, 0.98, 0.74)), (14, (2.1, 0.92, 0.78)), (15, (3.9, 1.25, 1.7)), (14, (2.35, 0.95, 0.72)),
        (16, (5.6, 1.35, 1.65)), (18, (1.1, 0.4, 0.85)), (14, (2.5, 1.02, 0.9)),
    ]  # fmt: skip
    rows = []
    others = sorted(town.roads.spawn_points, key=lambda other: (other.x - here.x) ** 2 + (other.y - here.y) ** 2)
    for i, place in enumerate(others[1:40]):
        tag, extent = kinds[i % len(kinds)]
        centre = (place.x, place.y, place.z - 0.3 + extent[2])
        rows.append((100 + i, tag, colours[int(random.integers(7))], centre, (place.pitch, place.yaw, 0.0), extent))
    ahead = here.compose(Transform(13.0, 0.0, -0.3))
    centre, rotation = (ahead.x, ahead.y, ahead.z + 0.74), (ahead.pitch, ahead.yaw, 0.0)
    rows.append((90, 14, (186, 34, 32), centre, rotation, (2.4, 0.98, 0.74)))
    for i, (forward, side) in enumerate([(9.0, 4.6), (12.0, 5.2), (18.0, -8.6)]):
        place = here.compose(Transform(forward, side, -0.3))
        shirt = colours[(i + 6) % 7]
        centre, rotation = (place.x, place.y, place.z + 0.9), (0.0, place.yaw + 90.0 * i, 0.0)
        rows.append((200 + i, 12, shirt, centre, rotation, (0.3, 0.3, 0.9)))
    return np.array(rows, BODY)


def driver(town: Town, number: int) -> Transform:
    """The eyes of a driver at a spawn point."""
    return town.roads.spawn_points[number].compose(Transform(z=1.3))


def viewpoint(town: Town) -> int:
    """The number of a spawn point from which one sees a lot: the most kinds of things, and much of them."""
    camera, best, found = Camera(town.scene, 96, 60, FOV), -1.0, 0
    for number in range(0, len(town.roads.spawn_points), max(1, len(town.roads.spawn_points) // 60)):
        labels = camera.semantic(driver(town, number), np.zeros(0, BODY))[..., 2]
        shares = np.bincount(labels.ravel(), minlength=32) / labels.size
        worth = float(np.minimum(shares, 0.12).sum()) - 2.0 * max(0.0, float(shares[3]) - 0.35)
        if worth > best:
            best, found = worth, number
    return found


def titled(picture: Image, title: str) -> Image:
    """A picture with its name in a corner."""
    picture = np.ascontiguousarray(picture[..., :3])
    (width, height), _ = cv2.getTextSize(title, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)
    corner = picture[: height + 12, : width + 14]
    corner[...] = corner // 3
    white = (255, 255, 255)
    cv2.putText(picture, title, (7, height + 6), cv2.FONT_HERSHEY_SIMPLEX, 0.5, white, 1, cv2.LINE_AA)
    return picture


def all_cameras(town: Town, number: int) -> Iterator[tuple[str, Image]]:
    """What each kind of camera makes of one moment."""
    camera, pose, bodies = Camera(town.scene, WIDTH, HEIGHT, FOV), driver(town, number), traffic(town, number)
    yield "sensor.camera.rgb", camera.rgb(pose, bodies)
    depth = camera.depth(pose, bodies).astype(float)
    metres = (depth[..., 2] + 256 * depth[..., 1] + 65536 * depth[..., 0]) * 1000 / (2**24 - 1)
    grey = np.clip(255 * np.log(np.maximum(metres, 1.0)) / np.log(1000.0), 0, 255).astype(np.uint8)
    yield "sensor.camera.depth (logarithmic)", np.repeat(grey[..., None], 3, axis=2)
    labels = camera.semantic(pose, bodies)[..., 2]
    yield "sensor.camera.semantic_segmentation", np.array(PALETTE, np.uint8)[labels][..., ::-1]
    instances = camera.instance(pose, bodies)
    spread = instances[..., 0].astype(np.int64) * 256 + instances[..., 1] + 7 * instances[..., 2]
    hues = np.stack([(spread * 47) % 180, np.full_like(spread, 170), np.full_like(spread, 220)], axis=2).astype(
        np.uint8
    )
    yield "sensor.camera.instance_segmentation", np.asarray(cv2.cvtColor(hues, cv2.COLOR_HSV2BGR), np.uint8)
    before = bodies.copy()
    turn = np.radians(before["rotation"][:, 1])
    before["centre"][:, :2] -= 0.4 * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    flow = camera.optical_flow(pose, bodies, pose.compose(Transform(-0.5, 0.0, 0.0, 0.0, -0.4)), before)
    angle, length = np.arctan2(-flow[..., 1], flow[..., 0]), np.hypot(flow[..., 0], flow[..., 1])
    bright = np.clip(255 * FLOW_GAIN * length, 0, 255)
    hues = np.stack([(angle + np.pi) * 90 / np.pi, np.full_like(angle, 200), bright], axis=2)
    yield "sensor.camera.optical_flow", np.asarray(cv2.cvtColor(hues.astype(np.uint8), cv2.COLOR_HSV2BGR), np.uint8)
    small = Camera(town.scene, 84, 84, FOV).rgb(pose, bodies)
    wide = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    enlarged = cv2.resize(small[..., :3], (HEIGHT, HEIGHT), interpolation=cv2.INTER_NEAREST)
    wide[:, (WIDTH - HEIGHT) // 2 : (WIDTH + HEIGHT) // 2] = enlarged
    yield "84 x 84, as a policy sees it", wide
    behind = town.roads.spawn_points[number].compose(Transform(-6.5, 0.0, 2.8, -14.0))
    here = town.roads.spawn_points[number]
    centre, rotation = (here.x, here.y, here.z + 0.45), (here.pitch, here.yaw, 0.0)
    own = np.array([(1, 14, (30, 96, 190), centre, rotation, (2.4, 0.98, 0.75))], BODY)
    yield "from behind", camera.rgb(behind, np.concatenate([bodies, own]))
    above = Transform(here.x, here.y, here.z + 45.0, -90.0, 0.0, 0.0)
    yield "from above", camera.rgb(above, bodies)


def sheet(pictures: list[tuple[str, Image]]) -> Image:
    """All pictures, row by row."""
    cells = [titled(picture, title) for title, picture in pictures]
    while len(cells) % COLUMNS:
        cells.append(np.full_like(cells[0], 255))
    result = np.full((len(cells) // COLUMNS * (HEIGHT + GAP) - GAP, COLUMNS * (WIDTH + GAP) - GAP, 3), 255, np.uint8)
    for i, cell in enumerate(cells):
        top, left = i // COLUMNS * (HEIGHT + GAP), i % COLUMNS * (WIDTH + GAP)
        result[top : top + HEIGHT, left : left + WIDTH] = cell
    return result


def main() -> None:
    """Draw it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", type=Path)
    parser.add_argument("--town", default="Town_Blocks", help="in which cameras and weathers are shown")
    parser.add_argument("--map", type=Path, action="append", default=[], help="more towns, as OpenDRIVE files")
    options = parser.parse_args()
    home = Town(RoadMap.load(options.town))
    number = viewpoint(home)
    pictures = list(all_cameras(home, number))
    camera, bodies = Camera(home.scene, WIDTH, HEIGHT, FOV), traffic(home, number)
    for name, weather in WEATHERS.items():
        pictures.append((name, camera.rgb(driver(home, number), bodies, weather)))
    by_hand = [name for name in built_in_maps() if not name.startswith("Town_Random")]  # docs/draw_towns.py has all
    for name in [*by_hand, *map(str, options.map)]:
        town = Town(RoadMap.load(name))
        found = viewpoint(town)
        eyes, high = driver(town, found), town.roads.spawn_points[found].compose(Transform(-25.0, 0.0, 16.0, -22.0))
        for title, pose in ((town.name, eyes), (f"{town.name}, higher", high)):
            view = Camera(town.scene, WIDTH, HEIGHT, FOV)
            pictures.append((title, view.rgb(pose, traffic(town, found))))
    options.picture.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(options.picture), sheet(pictures))


if __name__ == "__main__":
    main()
