"""From surfaces to colours: sunlight, shadows, windows, leaves, wet ground, sky and haze, pixel by pixel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sb3_carla.simulator.camera.look import (
    CLOUD,
    CLOUDINESS,
    GLOW,
    HAZE_FIRST,
    HAZE_SHIFT,
    HAZE_STEPS,
    HORIZON,
    NIGHT,
    PUDDLES,
    SKYLIGHT,
    SUN,
    SUNLIGHT,
    WET,
    ZENITH,
)
from sb3_carla.simulator.compiled import inner, kernel

_SKY, _GROUND, _FIRST = 0, 1, 2  # see draw.py
_WALL, _ROOF, _GLASS, _GLOW, _ROUND, _LEAVES, _BULB = 1, 2, 3, 4, 5, 6, 7  # shapes.Finish
_EVEN, _ODD = 0xFF00FF, 0xFF00  # blue and red, green
_LEAST_INVERSE = 1e-4  # of anything but the sky [1/m]
_STOREY, _BAY = 3.1, 2.7  # height of a storey and width of wall per window [m]
_CLOUDS, _SKYLINE, _GRADIENT = 1024, 2048, 256  # see sky.py and look.py
_CLOUD_HEIGHT = 300.0  # pixels of the clouds' picture per unit of tangent
_PUDDLES = 24.0  # pixels of the clouds' picture per metre of ground: where the puddles are


@inner
def _hash(x: int, y: int, z: int) -> float:
    """A number 0..1 that looks random."""
    h = (x * 73856093) ^ (y * 19349663) ^ (z * 83492791)
    h = (h ^ (h >> 13)) * 1274126177
    return (((h ^ (h >> 16)) >> 3) & 1023) / 1023.0


@inner
def _mix(colour: Any, other: Any, first: int, share: float) -> None:
    """Replace a share of a colour by ``other[first : first + 3]``."""
    for m in range(3):
        colour[m] += (other[first + m] - colour[m]) * share


@inner
def _sky(x: float, y: float, z: float, light: Any, gradient: Any, clouds: Any, skyline: Any) -> Any:
    """The colour of the sky in a direction of any length: B, G, R."""
    scale = 1.0 / math.sqrt(x * x + y * y + z * z)
    x, y, z = x * scale, y * scale, max(z * scale, 0.0)
    row = int(z * (_GRADIENT - 1))
    blue, green, red = gradient[row, 0], gradient[row, 1], gradient[row, 2]
    if z > 0.015:
        scale = _CLOUD_HEIGHT / (z + 0.06)
        i, j = int(y * scale + 65536.5) & (_CLOUDS - 1), int(x * scale + 65536.5) & (_CLOUDS - 1)
        cover = (clouds[i, j] - 205.0 + 170.0 * light[CLOUDINESS]) * 0.012
        if cover > 0.0:
            cover = min(cover, 0.8 + 0.15 * light[CLOUDINESS]) * min(1.0, 7.0 * z)
            dark = 1.04 - 0.16 * cover  # thick clouds are darker underneath
            blue += (light[CLOUD] * dark - blue) * cover
            green += (light[CLOUD + 1] * dark - green) * cover
            red += (light[CLOUD + 2] * dark - red) * cover
    else:
        diamond = y / (abs(x) + abs(y) + 1e-9)
        diamond = diamond if x >= 0.0 else 2.0 - diamond
        cover = 0.45 * min(max((skyline[int((diamond + 4.0) * (_SKYLINE / 4)) & (_SKYLINE - 1)] - z) * 200.0, 0.0), 1.0)
        blue += (90.0 * (light[SKYLIGHT] + 0.7 * light[SUNLIGHT]) - blue) * cover
        green += (94.0 * (light[SKYLIGHT + 1] + 0.7 * light[SUNLIGHT + 1]) - green) * cover
        red += (88.0 * (light[SKYLIGHT + 2] + 0.7 * light[SUNLIGHT + 2]) - red) * cover
    cosine = x * light[SUN] + y * light[SUN + 1] + z * light[SUN + 2]
    if cosine > 0.86:
        near = (cosine - 0.86) / 0.14
        near *= near
        near *= near
        share = light[GLOW] * (0.4 * near * near + min(max((cosine - 0.9993) * 4000.0, 0.0), 1.0))
        share = min(share, 1.0)
        blue, green, red = blue + (255.0 - blue) * share, green + (255.0 - green) * share, red + (255.0 - red) * share
    return blue, green, red


@inner
def _veil(veil: Any, x: float, y: float, which: int) -> float:
    """Static shadow (0) or lamplight (1) at a point in the veil's pixels, 0..1."""
    rows, columns = veil.shape[1], veil.shape[2]
    u, v = x - 0.5, y - 0.5
    if not (u >= 0.0 and v >= 0.0 and u < columns - 1 and v < rows - 1):
        return 0.0
    j, i = int(u), int(v)
    fu, fv = u - j, v - i
    near = veil[which, i, j] * (1.0 - fu) + veil[which, i, j + 1] * fu
    far = veil[which, i + 1, j] * (1.0 - fu) + veil[which, i + 1, j + 1] * fu
    return float((near * (1.0 - fv) + far * fv) / 255.0)


@inner
def _lit(colour: Any, nx: float, ny: float, nz: float, shade: float, light: Any) -> None:
    """Let a sky and a sun shine on a colour."""
    facing = max(nx * light[SUN] + ny * light[SUN + 1] + nz * light[SUN + 2], 0.0) * (1.0 - shade)
    sky = 0.8 + 0.2 * nz
    for m in range(3):
        colour[m] *= light[SKYLIGHT + m] * sky + light[SUNLIGHT + m] * facing


@inner
def _wall(s: float, t: float, width: float, height: float, seed: int, pixel: float, light: Any, colour: Any) -> None:
    """Windows, storeys and a plinth on a lit wall.

    :param s: along the wall from its corner [m]; ``t`` up from its foot
    :param pixel: how much of the wall a pixel spans [m]
    """
    storeys, bays = max(1.0, math.floor(height / _STOREY + 0.5)), max(1.0, math.floor(width / _BAY + 0.5))
    a, b = s / width * bays, t / height * storeys
    column, row = math.floor(a), math.floor(b)
    a, b = a - column, b - row
    style = seed & 3
    side = 0.2 if style == 0 else (0.27 if style < 3 else 0.32)
    low, high = (0.3, 0.8) if style != 1 else (0.24, 0.84)
    sharp = min(max(1.5 - 1.1 * pixel, 0.0), 1.0)  # far windows melt into the wall
    shade = 0.86 + 0.14 * min(t * 0.5, 1.0)
    if t < 0.5 and height > 4.0:
        shade *= 0.8
    elif b < 0.05 and row > 0.0:
        shade *= 1.0 - 0.12 * sharp
    for m in range(3):
        colour[m] *= shade
    at_home = _hash(int(column), int(row), seed + 17)
    pane = 0.25 + 0.3 * _hash(int(column), int(row), seed)
    if row == 0.0 and seed % 5 < 2 and height > 5.0:  # a shop
        side, low, high = 0.08, 0.08, 0.72
    elif row == 0.0 and int(column) == seed % int(bays) and t < 2.3:  # a door
        side, low, high, pane = 0.31, 0.0, 0.7, 0.0
    inside = side < a < 1.0 - side and low < b < high
    share = sharp * (1.0 if inside else 0.0) + (1.0 - sharp) * (1.0 - 2.0 * side) * (high - low)
    if share > 0.0:
        edge = a < side + 0.05 or a > 0.95 - side or b > high - 0.035 or abs(a - 0.5) < 0.018
        for m in range(3):
            glass = light[HORIZON + m] * pane + 46.0 * (light[SKYLIGHT + m] + 0.4 * light[SUNLIGHT + m])
            if at_home < 0.4:
                glass += (205.0 - 55.0 * (2 - m) - glass) * 0.9 * light[NIGHT]
            if inside and edge and pixel < 0.12:
                glass = 215.0 * (light[SKYLIGHT + m] + 0.4 * light[SUNLIGHT + m])
            colour[m] += (glass - colour[m]) * share
    elif side < a < 1.0 - side and low - 0.05 < b <= low and pixel < 0.2:  # a sill
        for m in range(3):
            colour[m] *= 1.1


@kernel(
    "void(uint32[:,::1], float32[:,::1], int32[:,::1], uint8[:,::1], float64[::1], float64[:,::1], float64,"
    " uint32[::1], uint8[::1], int64[:,::1], float64[::1], float64[::1],"
    " uint8[:,:,::1], float32[:,::1], float64[::1], uint8[:,::1], float64[::1], float64[::1], float64[::1],"
    " int32[:,::1], int64, float64[:,::1], float64[:,:,::1], int64[:,::1],"
    " float64[:,::1], float64[:,::1], int64[::1], float64[:,:,::1], float64[:,::1], float64[:,::1],"
    " float64[:,::1], float64[:,:,::1], int32[:,::1], float64[:,::1])"
)
def shade_pixels(
    image: Any, inverse: Any, surface: Any, shadow: Any, eye: Any, rays: Any, focal: float,
    texels: Any, materials: Any, levels: Any, reach: Any, ground: Any,
    veil: Any, heights: Any, terrain: Any, clouds: Any, skyline: Any, light: Any, haze: Any,
    drawn: Any, count: int, numbers: Any, turns: Any, traits: Any,
    normals: Any, colours: Any, finish: Any, corners: Any, deck_normals: Any, deck_colours: Any,
    work: Any, faces: Any, bits: Any, gradient: Any,
) -> None:  # fmt: skip
    """Work out the colour picture.

    :param image: (height, width) the result, B, G, R, A packed from the lowest byte up
    :param inverse: with ``surface`` and ``shadow``: what was drawn, see draw.py
    :param texels: with ``materials``, ``levels`` and ``ground``: see ``ground.Ground``
    :param reach: from which depth on each level is fine enough [m]
    :param veil: static shadows and lamplight on the ground
    :param heights: with ``terrain`` (x, y, step): the ground's heights; empty where it is flat
    :param light: see ``look.Light``, like ``haze``
    :param drawn: list of (body, face)
    :param numbers: with ``turns`` and ``traits``: see ``bodies.Solids``
    :param normals: with ``colours``, ``finish`` and ``corners``: see ``shapes.Shape``
    :param work: scratch
    :param faces: scratch, (2, faces, 3)
    :param bits: the very memory of ``inverse``
    :param gradient: see ``look.Light``
    """
    rows, columns = image.shape
    hilly = heights.shape[0] > 1
    colour, ray, at = work[0], work[1], work[2]
    lit, facing = faces[0], faces[1]
    for k in range(count):
        body, face = drawn[k, 0], drawn[k, 1]
        if body < 0:
            for m in range(3):
                facing[k, m], colour[m] = deck_normals[face, m], deck_colours[face, m]
            _lit(colour, 0.0, 0.0, 1.0, 0.0, light)
        else:
            length = 0.0
            for m in range(3):
                part = 0.0
                for a in range(3):
                    part += turns[body, m, a] * normals[face, a] / numbers[body, 3 + a]
                facing[k, m] = part
                length += part * part
            length = max(math.sqrt(length), 1e-12)
            for m in range(3):
                facing[k, m] /= length
                own = colours[face, m]
                colour[m] = own if own >= 0.0 else -own * traits[body, 6 - m]
            if finish[face] == _ROOF:
                for m in range(3):
                    colour[m] = 58.0 + 0.3 * colour[m]
            if finish[face] < _ROUND and finish[face] != _GLOW:
                _lit(colour, facing[k, 0], facing[k, 1], facing[k, 2], 0.0, light)
        for m in range(3):
            lit[k, m] = colour[m]

    # Level ground in the shade, and what the sun adds.
    shade_b, shade_g, shade_r = light[SKYLIGHT], light[SKYLIGHT + 1], light[SKYLIGHT + 2]
    sun_b, sun_g, sun_r = light[SUNLIGHT], light[SUNLIGHT + 1], light[SUNLIGHT + 2]
    haze_b, haze_g, haze_r = light[HORIZON], light[HORIZON + 1], light[HORIZON + 2]
    level, nearest, farthest = 0, 0.0, -1.0  # of the ground's pyramid, and the depths for which it is right
    base, height, width, scale = 0, 0, 0, 1.0
    ex, ey, ez = eye[0], eye[1], eye[2]
    texel = focal * 1e-6 * levels[0, 3]  # width of the ground's finest pixels one metre away, in the picture
    sky_step = 4 if focal > 150.0 else 2
    for v in range(rows):
        row_x = rays[0, 1] * v + rays[0, 2]
        row_y = rays[1, 1] * v + rays[1, 2]
        row_z = rays[2, 1] * v + rays[2, 2]
        first, last_number = 0, -1  # where the next pixels begin, and the surface before them
        last_b = last_g = last_r = 0.0
        while first < columns:
            # Sky and near ground change slowly: between every few pixels of one surface colours are interpolated.
            u = first
            number = surface[v, u]
            if number == last_number and number < _FIRST:
                step = sky_step
                if number == _GROUND:
                    wide = texel * min(inverse[v, u], inverse[v, min(u + 3, columns - 1)])
                    step = 4 if wide > 4.0 else (2 if wide > 2.0 else 1)
                while (
                    u < first + step - 1
                    and u + 1 < columns
                    and surface[v, u + 1] == number
                    and shadow[v, u + 1] == shadow[v, first - 1]
                ):
                    u += 1
                if shadow[v, first] != shadow[v, first - 1]:
                    u = first
            rx, ry, rz = rays[0, 0] * u + row_x, rays[1, 0] * u + row_y, rays[2, 0] * u + row_z
            if number == _SKY:
                blue, green, red = _sky(rx, ry, rz, light, gradient, clouds, skyline)
            depth = 1.0 / max(inverse[v, u], _LEAST_INVERSE)
            if number == _GROUND:
                if not nearest <= depth < farthest:
                    level = 0
                    while level < len(reach) - 1 and depth > reach[level + 1]:
                        level += 1
                    nearest = reach[level]
                    farthest = reach[level + 1] if level < len(reach) - 1 else math.inf
                    base, height, width = levels[level, 0], levels[level, 1], levels[level, 2]
                    scale = 1e6 / levels[level, 3]
                x, y = ex + depth * rx, ey + depth * ry
                px, py = x - ground[0], y - ground[1]
                tu, tv = px * scale - 0.5, py * scale - 0.5
                blue, green, red = ground[2], ground[3], ground[4]
                if tu >= 0.0 and tv >= 0.0 and tu < width - 1 and tv < height - 1:
                    j, i = int(tu), int(tv)
                    fu, fv = int((tu - j) * 256.0), int((tv - i) * 256.0)
                    # Two channels are interpolated at once, in the upper and lower half of a number.
                    w11 = (fu * fv) >> 8
                    w01, w10, w00 = fu - w11, fv - w11, 256 - fu - fv + w11
                    k = base + i * width + j
                    nw, ne = np.int64(texels[k]), np.int64(texels[k + 1])
                    sw, se = np.int64(texels[k + width]), np.int64(texels[k + width + 1])
                    even = (nw & _EVEN) * w00 + (ne & _EVEN) * w01 + (sw & _EVEN) * w10 + (se & _EVEN) * w11
                    odd = (nw & _ODD) * w00 + (ne & _ODD) * w01 + (sw & _ODD) * w10 + (se & _ODD) * w11
                    blue, green, red = ((even >> 8) & 0xFF) * 1.0, (odd >> 16) * 1.0, (even >> 24) * 1.0
                facing_sun = light[SUN + 2]
                if hilly:
                    gx, gy = (x - terrain[0]) / terrain[2], (y - terrain[1]) / terrain[2]
                    if 0.0 <= gx < heights.shape[1] - 1 and 0.0 <= gy < heights.shape[0] - 1:
                        i, j = int(gy), int(gx)
                        slope_x = (heights[i, j + 1] - heights[i, j]) / terrain[2]
                        slope_y = (heights[i + 1, j] - heights[i, j]) / terrain[2]
                        facing_sun -= slope_x * light[SUN] + slope_y * light[SUN + 1]
                        facing_sun = max(facing_sun / math.sqrt(1.0 + slope_x * slope_x + slope_y * slope_y), 0.0)
                if shadow[v, u]:
                    facing_sun = 0.0
                else:
                    facing_sun *= 1.0 - _veil(veil, px * ground[5], py * ground[5], 0)
                blue *= shade_b + sun_b * facing_sun
                green *= shade_g + sun_g * facing_sun
                red *= shade_r + sun_r * facing_sun
                if light[NIGHT] > 0.0:
                    lamp = light[NIGHT] * _veil(veil, px * ground[5], py * ground[5], 1)
                    blue, green, red = blue + 34.0 * lamp, green + 58.0 * lamp, red + 76.0 * lamp
                if light[WET] > 0.0:
                    i, j = math.floor(py * scale), math.floor(px * scale)
                    paved = 0 <= i < height and 0 <= j < width and materials[base + i * width + j] != 0
                    dark = 1.0 - (0.4 if paved else 0.2) * light[WET]
                    blue, green, red = blue * dark, green * dark, red * dark
                    if paved:  # it mirrors the sky, puddles do so the most
                        flat_way = math.sqrt(rx * rx + ry * ry)
                        grazing = flat_way / (flat_way + abs(rz) + 1e-9)  # 1 at the horizon
                        mirrors = 0.6 * light[WET] * grazing * grazing * grazing
                        spot = clouds[int(y * _PUDDLES + 65536e3) & (_CLOUDS - 1),
                                      int(x * _PUDDLES + 65536e3) & (_CLOUDS - 1)]  # fmt: skip
                        if spot < 70.0 + 70.0 * light[PUDDLES] and light[PUDDLES] > 0.0:
                            mirrors = max(mirrors, min(0.2 + 0.7 * grazing, 0.8) * min(1.0, 3.0 * light[PUDDLES]))
                        sky_b, sky_g, sky_r = _sky(rx, ry, abs(rz), light, gradient, clouds, skyline)
                        blue += (sky_b - blue) * mirrors
                        green += (sky_g - green) * mirrors
                        red += (sky_r - red) * mirrors
            elif number >= _FIRST:
                k = number - _FIRST
                ray[0], ray[1], ray[2] = rx, ry, rz
                at[0], at[1], at[2] = ex + depth * rx, ey + depth * ry, ez + depth * rz
                body, face = drawn[k, 0], drawn[k, 1]
                for m in range(3):
                    colour[m] = lit[k, m]
                kind = finish[face] if body >= 0 else 0
                if (kind >= _ROUND and kind != _BULB) or kind == _WALL:
                    # The point in the body's own axes [m], turned in place.
                    x, y, z = at[0] - numbers[body, 0], at[1] - numbers[body, 1], at[2] - numbers[body, 2]
                    for m in range(3):
                        at[m] = turns[body, 0, m] * x + turns[body, 1, m] * y + turns[body, 2, m] * z
                    if kind == _WALL:
                        along = 1 if abs(normals[face, 0]) > 0.5 else 0
                        wide, high = 2.0 * numbers[body, 3 + along], 2.0 * numbers[body, 5]
                        x = facing[k, 0] * ray[0] + facing[k, 1] * ray[1] + facing[k, 2] * ray[2]
                        pixel = depth / (focal * max(abs(x), 0.08))
                        _wall(at[along] + wide / 2, at[2] + high / 2, wide, high, traits[body, 3] + face,
                              pixel, light, colour)  # fmt: skip
                    else:
                        length = 0.0
                        for m in range(3):
                            half = corners[face, 1, m] * numbers[body, 3 + m]
                            ray[m] = (at[m] - corners[face, 0, m] * numbers[body, 3 + m]) / (half * half)
                            length += ray[m] * ray[m]
                        length = math.sqrt(length)
                        x, y, z = ray[0] / length, ray[1] / length, ray[2] / length
                        if kind == _LEAVES:
                            gain = 0.72 + 0.56 * _hash(
                                math.floor(at[0] * 3.5), math.floor(at[1] * 3.5),
                                math.floor(at[2] * 3.5),
                            )  # fmt: skip
                            pixel = min(1.0, 0.12 * focal / depth)
                            gain = (1.0 + (gain - 1.0) * pixel) * (0.95 + 0.2 * at[2] / numbers[body, 5])
                            for m in range(3):
                                colour[m] *= gain
                        _lit(
                            colour,
                            turns[body, 0, 0] * x + turns[body, 0, 1] * y + turns[body, 0, 2] * z,
                            turns[body, 1, 0] * x + turns[body, 1, 1] * y + turns[body, 1, 2] * z,
                            turns[body, 2, 0] * x + turns[body, 2, 1] * y + turns[body, 2, 2] * z,
                            0.0,
                            light,
                        )
                elif kind == _GLASS:
                    x = facing[k, 0] * ray[0] + facing[k, 1] * ray[1] + facing[k, 2] * ray[2]
                    z = ray[2] - 2.0 * x * facing[k, 2]
                    if z > 0.0:
                        _mix(colour, light, ZENITH, min(0.2 + 0.5 * z, 0.5))
                    else:
                        _mix(colour, light, HORIZON, 0.08)
                blue, green, red = colour[0], colour[1], colour[2]
            if number != _SKY:
                share = haze[min(max((bits[v, u] >> HAZE_SHIFT) - HAZE_FIRST, 0), HAZE_STEPS - 1)]
                blue += (haze_b - blue) * share
                green += (haze_g - green) * share
                red += (haze_r - red) * share
            blue, green, red = min(blue, 255.0), min(green, 255.0), min(red, 255.0)
            if u > first:
                share = 1.0 / (u - first + 1)
                add_b, add_g, add_r = (blue - last_b) * share, (green - last_g) * share, (red - last_r) * share
                for k in range(first, u):
                    last_b, last_g, last_r = last_b + add_b, last_g + add_g, last_r + add_r
                    image[v, k] = int(last_b) | int(last_g) << 8 | int(last_r) << 16 | 0xFF000000
            image[v, u] = int(blue) | int(green) << 8 | int(red) << 16 | 0xFF000000
            last_b, last_g, last_r, last_number = blue, green, red, number
            first = u + 1
