"""From faces to colours: walls with windows, glass, leaves and all that is plain, pixel by pixel."""

from __future__ import annotations

import math
from typing import Any

from sb3_carla.simulator.camera.look import (
    HAZE_FIRST,
    HAZE_SHIFT,
    HAZE_STEPS,
    HORIZON,
    NIGHT,
    SKYLIGHT,
    SUN,
    SUNLIGHT,
    ZENITH,
)
from sb3_carla.simulator.compiled import inner, kernel

_FIRST = 2  # see draw.py
_WALL, _ROOF, _GLASS, _GLOW, _ROUND, _LEAVES, _BULB = 1, 2, 3, 4, 5, 6, 7  # shapes.Finish
_STOREY, _BAY = 3.1, 2.7  # height of a storey and width of wall per window [m]


@inner
def _hash(x: int, y: int, z: int) -> float:
    """A number 0..1 that looks random."""
    h = (x * 73856093) ^ (y * 19349663) ^ (z * 83492791)
    h = (h ^ (h >> 13)) * 1274126177
    return (((h ^ (h >> 16)) >> 3) & 1023) / 1023.0


@inner
def _lit(colour: Any, nx: float, ny: float, nz: float, light: Any) -> None:
    """Let a sky and a sun shine on a colour."""
    facing = max(nx * light[SUN] + ny * light[SUN + 1] + nz * light[SUN + 2], 0.0)
    sky = 0.8 + 0.2 * nz
    for m in range(3):
        colour[m] *= light[SKYLIGHT + m] * sky + light[SUNLIGHT + m] * facing


@inner
def _wall(
    s: float, t: float, low_wall: bool, shop: bool, door: int, seed: int, sharp: float, pixel: float,
    light: Any, glass: Any, lit: Any, colour: Any,
) -> None:  # fmt: skip
    """Windows, storeys and a plinth on a wall.

    :param s: along the wall from its corner, in bays; ``t`` up from its foot, in storeys
    :param low_wall: too low for a plinth
    :param shop: whether there are shops at the foot; otherwise ``door`` is the column of the door
    :param sharp: 1 where windows are seen clearly, 0 where they melt into the wall
    :param pixel: how much of the wall a pixel spans [m]
    :param glass: (2, 3) colours of a dark window and of a window's frame
    :param lit: the wall's colour in its light
    :param colour: the result
    """
    column, row = math.floor(s), math.floor(t)
    a, b = s - column, t - row
    style = seed & 3
    side = 0.2 if style == 0 else (0.27 if style < 3 else 0.32)
    low, high = (0.3, 0.8) if style != 1 else (0.24, 0.84)
    shade = 0.86 + 0.14 * min(t * (0.5 * _STOREY), 1.0)
    if t < 0.5 / _STOREY and not low_wall:
        shade *= 0.8
    elif b < 0.05 and row > 0.0:
        shade *= 1.0 - 0.12 * sharp
    pane = 1.0
    if row == 0.0:
        if shop:
            side, low, high = 0.08, 0.08, 0.72
        elif int(column) == door and t < 2.3 / _STOREY:
            side, low, high, pane = 0.31, 0.0, 0.7, 0.0
    inside = side < a < 1.0 - side and low < b < high
    share = (1.0 - sharp) * (1.0 - 2.0 * side) * (high - low) + (sharp if inside else 0.0)
    if share == 0.0 and pixel < 0.2 and side < a < 1.0 - side and low - 0.05 < b <= low:  # a sill
        shade *= 1.1
    for m in range(3):
        colour[m] = lit[m] * shade
    if share == 0.0:
        return
    edge = a < side + 0.05 or a > 0.95 - side or b > high - 0.035 or abs(a - 0.5) < 0.018
    if inside and edge and pixel < 0.12:
        for m in range(3):
            colour[m] += (glass[1, m] - colour[m]) * share
        return
    pane *= 0.25 + 0.3 * _hash(int(column), int(row), seed)
    at_home = 0.9 * light[NIGHT]
    if at_home > 0.0 and _hash(int(column), int(row), seed + 17) >= 0.4:
        at_home = 0.0
    for m in range(3):
        own = light[HORIZON + m] * pane + glass[0, m]
        own += (205.0 - 55.0 * (2 - m) - own) * at_home
        colour[m] += (own - colour[m]) * share


@kernel(
    "void(int32[:,::1], int64, float64[:,::1], float64[:,:,::1], int64[:,::1], float64[:,::1], float64[:,::1],"
    " int64[::1], float64[:,::1], float64[:,::1], float64[::1], float64[:,:,::1])"
)
def light_faces(
    drawn: Any, count: int, numbers: Any, turns: Any, traits: Any, normals: Any, colours: Any, finish: Any,
    deck_normals: Any, deck_colours: Any, light: Any, faces: Any,
) -> None:  # fmt: skip
    """Work out the colour of each face that was drawn, as far as it is the same all over the face.

    :param faces: the result, (2, faces, 3): colours, and normals in the world
    """
    for k in range(count):
        colour, facing = faces[0, k], faces[1, k]
        body, face = drawn[k, 0], drawn[k, 1]
        if body < 0:
            for m in range(3):
                facing[m], colour[m] = deck_normals[face, m], deck_colours[face, m]
            _lit(colour, 0.0, 0.0, 1.0, light)
            continue
        length = 0.0
        for m in range(3):
            part = 0.0
            for a in range(3):
                part += turns[body, m, a] * normals[face, a] / numbers[body, 3 + a]
            facing[m] = part
            length += part * part
        length = max(math.sqrt(length), 1e-12)
        kind = finish[face]
        for m in range(3):
            facing[m] /= length
            own = colours[face, m]
            colour[m] = own if own >= 0.0 else -own * traits[body, 6 - m]
            if kind == _ROOF:
                colour[m] = 58.0 + 0.3 * colour[m]
        if kind < _ROUND and kind != _GLOW:
            _lit(colour, facing[0], facing[1], facing[2], light)


@kernel(
    "void(uint32[:,::1], float32[:,::1], int32[:,::1], float64[::1], float64[:,::1], float64,"
    " int32[:,::1], float64[:,::1], float64[:,:,::1], int64[:,::1], float64[:,::1], int64[::1], float64[:,:,::1],"
    " float64[::1], float64[::1], int32[:,::1], float64[:,:,::1], float64[:,::1])"
)
def shade_faces(
    image: Any, inverse: Any, surface: Any, eye: Any, rays: Any, focal: float,
    drawn: Any, numbers: Any, turns: Any, traits: Any, normals: Any, finish: Any, corners: Any,
    light: Any, haze: Any, bits: Any, faces: Any, work: Any,
) -> None:  # fmt: skip
    """Colour the pixels of faces.

    :param image: (height, width) B, G, R, A packed from the lowest byte up
    :param inverse: with ``surface``: what was drawn, see draw.py
    :param drawn: list of (body, face)
    :param numbers: with ``turns`` and ``traits``: see ``bodies.Solids``
    :param normals: with ``finish`` and ``corners``: see ``shapes.Shape``
    :param light: see ``look.Light``, like ``haze``
    :param bits: the very memory of ``inverse``
    :param faces: what :func:`light_faces` found
    :param work: scratch
    """
    rows, columns = surface.shape
    colour, at, origin, ray, glass, across = work[0], work[1], work[2], work[3], work[4:6], work[6]
    for m in range(3):
        glass[0, m] = 46.0 * (light[SKYLIGHT + m] + 0.4 * light[SUNLIGHT + m])
        glass[1, m] = 215.0 * (light[SKYLIGHT + m] + 0.4 * light[SUNLIGHT + m])
    haze_b, haze_g, haze_r = light[HORIZON], light[HORIZON + 1], light[HORIZON + 2]
    for v in range(rows):
        number = -1
        kind = body = face = seed = along = door = 0
        low_wall = shop = False
        across_sight = row_sight = s0 = s1 = s2 = t0 = t1 = t2 = 0.0
        for u in range(columns):
            k = surface[v, u] - _FIRST
            if k < 0:
                continue
            if k != number:
                number, body, face = k, drawn[k, 0], drawn[k, 1]
                kind = finish[face] if body >= 0 else 0
                for m in range(3):
                    colour[m] = faces[0, k, m]
                if kind in (_WALL, _GLASS) or _ROUND <= kind < _BULB:
                    # In the body's own axes [m]: a pixel's point is ``origin + depth * (across * u + ray)``.
                    across_sight = row_sight = 0.0
                    for m in range(3):
                        x = y = z = 0.0
                        for a in range(3):
                            x += turns[body, a, m] * rays[a, 0]
                            y += turns[body, a, m] * (rays[a, 1] * v + rays[a, 2])
                            z += turns[body, a, m] * (eye[a] - numbers[body, a])
                        across[m], ray[m], origin[m] = x, y, z
                        across_sight += faces[1, k, m] * rays[m, 0]
                        row_sight += faces[1, k, m] * (rays[m, 1] * v + rays[m, 2])
                    if kind == _WALL:
                        along, seed = 1 if abs(normals[face, 0]) > 0.5 else 0, traits[body, 3] + face
                        half, high = numbers[body, 3 + along], numbers[body, 5]
                        bays = max(1.0, math.floor(2.0 * half / _BAY + 0.5))
                        storeys = max(1.0, math.floor(2.0 * high / _STOREY + 0.5))
                        low_wall, door = high < 2.2, seed % int(bays)
                        shop = seed % 5 < 2 and not low_wall
                        # In bays from the corner, and in storeys from the foot.
                        x, y = 0.5 * bays / half, 0.5 * storeys / high
                        s0, s1, s2 = 0.5 * bays + origin[along] * x, across[along] * x, ray[along] * x
                        t0, t1, t2 = 0.5 * storeys + origin[2] * y, across[2] * y, ray[2] * y
            if kind == _WALL:
                depth = 1.0 / inverse[v, u]
                pixel = depth / (focal * max(abs(across_sight * u + row_sight), 0.08))
                _wall(
                    s0 + depth * (s1 * u + s2), t0 + depth * (t1 * u + t2), low_wall, shop, door, seed,
                    min(max(1.5 - 1.1 * pixel, 0.0), 1.0), pixel, light, glass, faces[0, k], colour,
                )  # fmt: skip
            elif kind == _GLASS:
                z = rays[2, 0] * u + rays[2, 1] * v + rays[2, 2] - 2.0 * (across_sight * u + row_sight) * faces[1, k, 2]
                share, first = (min(0.2 + 0.5 * z, 0.5), ZENITH) if z > 0.0 else (0.08, HORIZON)
                for m in range(3):
                    colour[m] = faces[0, k, m] + (light[first + m] - faces[0, k, m]) * share
            elif _ROUND <= kind < _BULB:
                depth, length = 1.0 / inverse[v, u], 0.0
                high = origin[2] + depth * (across[2] * u + ray[2])
                gain = 1.0
                if kind == _LEAVES:
                    gain = 0.56 * _hash(
                        math.floor((origin[0] + depth * (across[0] * u + ray[0])) * 3.5),
                        math.floor((origin[1] + depth * (across[1] * u + ray[1])) * 3.5),
                        math.floor(high * 3.5),
                    ) - 0.28  # fmt: skip
                    gain = (1.0 + gain * min(1.0, 0.12 * focal / depth)) * (0.95 + 0.2 * high / numbers[body, 5])
                for m in range(3):
                    half = numbers[body, 3 + m]
                    radius = corners[face, 1, m] * half
                    at[m] = (origin[m] + depth * (across[m] * u + ray[m]) - corners[face, 0, m] * half) / (
                        radius * radius
                    )
                    length += at[m] * at[m]
                    colour[m] = faces[0, k, m] * gain
                # The surface's normal, in the world.
                length = math.sqrt(length)
                x = (turns[body, 0, 0] * at[0] + turns[body, 0, 1] * at[1] + turns[body, 0, 2] * at[2]) / length
                y = (turns[body, 1, 0] * at[0] + turns[body, 1, 1] * at[1] + turns[body, 1, 2] * at[2]) / length
                z = (turns[body, 2, 0] * at[0] + turns[body, 2, 1] * at[1] + turns[body, 2, 2] * at[2]) / length
                _lit(colour, x, y, z, light)
            share = haze[min(max((bits[v, u] >> HAZE_SHIFT) - HAZE_FIRST, 0), HAZE_STEPS - 1)]
            blue = min(colour[0] + (haze_b - colour[0]) * share, 255.0)
            green = min(colour[1] + (haze_g - colour[1]) * share, 255.0)
            red = min(colour[2] + (haze_r - colour[2]) * share, 255.0)
            image[v, u] = int(blue) | int(green) << 8 | int(red) << 16 | 0xFF000000
