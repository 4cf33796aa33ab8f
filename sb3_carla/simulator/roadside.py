"""What stands at the roadside for the signals of a map: posts, arms, lamp housings and the plates of signs.

All of it is static boxes that cameras see and vehicles hit; the lamp that is lit is a box of its own
(:func:`lamp_places`), because its place and colour change.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sb3_carla.simulator.geometry import BODY
from sb3_carla.simulator.signals import Post, Signals

_POLE, _LIGHT, _SIGN = 6, 7, 8  # semantic labels
_STEEL: Final = (96, 100, 104)
_HOUSING: Final = (34, 36, 38)
_PLATES: Final = {"traffic.stop": (186, 30, 36), "traffic.yield": (226, 206, 196)}
_LIMIT_PLATE: Final = (232, 226, 222)

_ON_POST: Final = 2.9  # height of the housing's middle [m]
_ON_ARM: Final = 5.6
_LONGEST_ARM: Final = 9.0  # lanes further from the post get no housing over them [m]
_APART: Final = 2.0  # ditto, lanes nearer than this [m]
_HALF_HOUSING: Final = (0.14, 0.22, 0.58)  # half sizes along the traffic, across it, up [m]
_LAMP_STEP: Final = 0.37  # between the lamps' middles [m]
_HALF_LAMP: Final = (0.05, 0.16, 0.16)

Vector = tuple[float, float, float]


def place_roadside(signals: Signals) -> npt.NDArray[np.void]:
    """The static boxes of a map's lights and signs, with dtype :data:`sb3_carla.simulator.geometry.BODY`."""
    return np.array([body for post in (*signals.lights, *signals.signs) for body in _bodies(post)], BODY)


def lamp_places(post: Post, state: int) -> Iterator[tuple[Vector, Vector, Vector]]:
    """Centre, rotation and half sizes of a light's lit lamps.

    :param post: the light
    :param state: red 0, yellow 1, green 2; for others the middle lamp
    """
    up = {0: _LAMP_STEP, 2: -_LAMP_STEP}.get(state, 0.0)
    facing = post.pose.yaw - 90.0
    out = _HALF_HOUSING[0] + _HALF_LAMP[0] - 0.02
    for x, y, z in _housings(post):
        c, s = math.cos(math.radians(facing)), math.sin(math.radians(facing))
        yield (x - out * c, y - out * s, z + up), (0.0, facing, 0.0), _HALF_LAMP


def light_boxes(post: Post) -> list[tuple[Vector, Vector, Vector]]:
    """Centre, half sizes and rotation of a light's housings, in the world."""
    return [(place, _HALF_HOUSING, (0.0, post.pose.yaw - 90.0, 0.0)) for place in _housings(post)]


def _reach(post: Post) -> float:
    """How far the arm reaches from the post over the lanes, positive to the right of the traffic; 0 without an arm."""
    pose = post.pose
    c, s = math.cos(math.radians(pose.yaw)), math.sin(math.radians(pose.yaw))
    reach = min((c * (lane.x - pose.x) + s * (lane.y - pose.y) for lane in post.lanes), key=abs, default=0.0)
    return reach if _APART < abs(reach) < _LONGEST_ARM else 0.0


def _housings(post: Post) -> list[Vector]:
    """The middles of a light's housings: at the post, and over the nearest lane."""
    pose, reach = post.pose, _reach(post)
    c, s = math.cos(math.radians(pose.yaw)), math.sin(math.radians(pose.yaw))
    # On the side of the traffic, so that it hides the post and not the other way round.
    x, y = pose.x - 0.2 * s, pose.y + 0.2 * c
    places = [(x, y, pose.z + _ON_POST)]
    if reach:
        places.append((pose.x + reach * c, pose.y + reach * s, pose.z + _ON_ARM))
    return places


def _bodies(post: Post) -> Iterator[tuple[Any, ...]]:
    pose = post.pose
    yaw = (0.0, pose.yaw, 0.0)
    facing = (0.0, pose.yaw - 90.0, 0.0)
    c, s = math.cos(math.radians(pose.yaw)), math.sin(math.radians(pose.yaw))
    if post.type_id != "traffic.traffic_light":
        plate = _PLATES.get(post.type_id, _LIMIT_PLATE)
        yield 0, _POLE, _STEEL, (pose.x, pose.y, pose.z + 1.1), yaw, (0.04, 0.04, 1.1)
        yield 0, _SIGN, plate, (pose.x, pose.y, pose.z + 2.5), facing, (0.03, 0.36, 0.36)
        return
    reach = _reach(post)
    tall = 0.5 * (_ON_ARM + 0.3 if reach else _ON_POST + 0.7)
    yield 0, _POLE, _STEEL, (pose.x, pose.y, pose.z + tall), yaw, (0.09, 0.09, tall)
    if reach:
        middle = (pose.x + 0.5 * reach * c, pose.y + 0.5 * reach * s, pose.z + _ON_ARM + 0.2)
        yield 0, _POLE, _STEEL, middle, yaw, (0.5 * abs(reach), 0.06, 0.06)
    for place, extent, rotation in light_boxes(post):
        yield 0, _LIGHT, _HOUSING, place, rotation, extent
