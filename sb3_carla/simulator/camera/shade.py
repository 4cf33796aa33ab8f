"""From sky and ground to colours: clouds, sunlight, shadows, wet roads and haze.

Texture coordinates, clouds' coordinates and gains are worked out at the ends of short stretches of a row, and stepped
through in whole numbers in between.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sb3_carla.simulator.camera.look import (
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
)
from sb3_carla.simulator.compiled import inner, kernel

_SKY, _GROUND = 0, 1  # see draw.py
_OPAQUE = 0xFF000000
_PAIR = 0xFF00FF  # two channels of a pixel, which are worked on together
_LEAST_INVERSE = 1e-4  # of the ground [1/m]
_CLOUDS, _SKYLINE, _GRADIENT = 1024, 2048, 256  # see sky.py and look.py
_CLOUD_HEIGHT = 300.0  # pixels of the clouds' picture per unit of tangent
_LOW, _NEAR_SUN = 0.015, 0.98  # sine of the skyline's highest elevation, cosine around the sun's disc
_PUDDLES = 24.0  # pixels of the clouds' picture per metre of ground: where the puddles are
_STRETCH, _SHORT = 16, 8  # pixels; the short one where light or focal length change fast
_EVEN_DEPTH = 0.06  # by which share the inverse depth may change over a stretch of ground


@inner
def _towards(x: float, y: float, z: float, light: Any, gradient: Any, skyline: Any) -> Any:
    """The sky in a direction of any length.

    :return: the clear sky's B, G, R; row and column in the clouds' picture; share of clouds; sine of the elevation;
        cosine of the angle to the sun
    """
    scale = 1.0 / math.sqrt(x * x + y * y + z * z)
    x, y, z = x * scale, y * scale, max(z * scale, 0.0)
    row = int(z * (_GRADIENT - 1))
    blue, green, red = gradient[row, 0], gradient[row, 1], gradient[row, 2]
    i = j = fade = 0.0
    if z > _LOW:
        scale = _CLOUD_HEIGHT / (z + 0.06)
        i, j, fade = y * scale + 65536.5, x * scale + 65536.5, min(1.0, 7.0 * z)
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
    return blue, green, red, i, j, fade, z, cosine


@kernel(
    "void(uint32[:,::1], int32[:,::1], float64[:,::1], float64, float64[::1], float64[:,::1], int64[:,::1],"
    " uint8[:,::1], float64[::1])"
)
def shade_sky(
    image: Any, surface: Any, rays: Any, focal: float, light: Any, gradient: Any, cover: Any, clouds: Any,
    skyline: Any,
) -> None:  # fmt: skip
    """Colour the pixels of the sky.

    :param image: (height, width) B, G, R, A packed from the lowest byte up
    :param surface: what was drawn, see draw.py
    :param light: with ``gradient`` and ``cover``: see ``look.Light``
    :param clouds: with ``skyline``: see sky.py
    """
    rows, columns = surface.shape
    usual = _SHORT if focal < 150.0 else _STRETCH
    for v in range(rows):
        x, y, z = rays[0, 1] * v + rays[0, 2], rays[1, 1] * v + rays[1, 2], rays[2, 1] * v + rays[2, 2]
        u, known = 0, -1  # where the first colours below are right
        b0 = g0 = r0 = i0 = j0 = f0 = z0 = c0 = 0.0
        while u < columns:
            if surface[v, u] != _SKY:
                u += 1
                continue
            step = usual
            while True:
                if known != u:
                    b0, g0, r0, i0, j0, f0, z0, c0 = _towards(
                        x + rays[0, 0] * u, y + rays[1, 0] * u, z + rays[2, 0] * u, light, gradient, skyline
                    )
                if z0 < 2.0 * _LOW or c0 > _NEAR_SUN:
                    step = 1
                end = u + step
                b1, g1, r1, i1, j1, f1, z1, c1 = _towards(
                    x + rays[0, 0] * end, y + rays[1, 0] * end, z + rays[2, 0] * end, light, gradient, skyline
                )
                known = u
                if step == 1 or (z1 >= _LOW and c1 <= _NEAR_SUN):
                    break
                z0 = 0.0  # once more in small steps
            blue, green, red = int(b0 * 65536.0), int(g0 * 65536.0), int(r0 * 65536.0)
            i, j, fade = int(i0 * 65536.0), int(j0 * 65536.0), int(f0 * 256.0)
            part = 65536.0 / step
            blue_step, green_step, red_step = int((b1 - b0) * part), int((g1 - g0) * part), int((r1 - r0) * part)
            i_step, j_step = (int((i1 - i0) * part), int((j1 - j0) * part)) if step > 1 else (0, 0)
            for k in range(u, min(end, columns)):
                if surface[v, k] == _SKY:
                    spot = clouds[(i >> 16) & (_CLOUDS - 1), (j >> 16) & (_CLOUDS - 1)]
                    share = (cover[spot, 0] * fade) >> 8
                    b, g, r = blue >> 16, green >> 16, red >> 16
                    if share > 0:
                        b += ((cover[spot, 1] - b) * share) >> 8
                        g += ((cover[spot, 2] - g) * share) >> 8
                        r += ((cover[spot, 3] - r) * share) >> 8
                    image[v, k] = b | g << 8 | r << 16 | _OPAQUE
                blue += blue_step
                green += green_step
                red += red_step
                i += i_step
                j += j_step
            b0, g0, r0, i0, j0, f0, z0, c0 = b1, g1, r1, i1, j1, f1, z1, c1
            u = known = end


@kernel(
    "void(uint32[:,::1], float32[:,::1], int32[:,::1], uint8[:,::1], float64[::1], float64[:,::1],"
    " float64, uint32[::1], int64[:,::1], float64[::1], float64[::1], float64, uint8[:,::1],"
    " float64[::1], float64[::1], float64[:,::1], int64[:,::1], uint8[:,::1], float64[::1], int32[:,::1])"
)
def shade_ground(
    image: Any, inverse: Any, surface: Any, shadow: Any, eye: Any, rays: Any, focal: float,
    texels: Any, levels: Any, reach: Any, ground: Any, brightest: float, lamps: Any,
    light: Any, haze: Any, gradient: Any, cover: Any, clouds: Any, skyline: Any, bits: Any,
) -> None:  # fmt: skip
    """Colour the pixels of the ground.

    :param image: (height, width) B, G, R, A packed from the lowest byte up
    :param inverse: with ``surface`` and ``shadow``: what was drawn, see draw.py
    :param texels: with ``levels`` and ``ground``: see ``ground.Ground``; the uppermost byte is that of ``veil.Veil``
    :param reach: from which depth on each level is fine enough [m]
    :param brightest: sunshine where the texels say 255, level ground in the sun having 1
    :param lamps: lamplight, see ``veil.Veil``
    :param light: with ``haze``, ``gradient`` and ``cover``: see ``look.Light``
    :param clouds: with ``skyline``: see sky.py
    :param bits: the very memory of ``inverse``
    """
    rows, columns = image.shape
    wet, night, deep = light[WET], light[NIGHT], light[PUDDLES]
    grass = int(ground[2]) | int(ground[3]) << 8 | int(ground[4]) << 16 | 0xFE000000
    dry_puddles, sunshine = 70.0 + 70.0 * deep if deep > 0.0 else 0.0, light[SUN + 2] * brightest / 255.0
    texel = focal * 1e-6 * levels[0, 3]  # width of the finest texels one metre away, in the picture
    stretch = _STRETCH if night == 0.0 else _SHORT
    b1 = g1 = r1 = 0.0
    even: Any
    odd: Any  # pairs of channels: blue and red, green and sunshine
    one = np.uint64(1)  # numba makes faster code for indices without a sign
    for v in range(rows):
        row_x, row_y, row_z = rays[0, 1] * v + rays[0, 2], rays[1, 1] * v + rays[1, 2], rays[2, 1] * v + rays[2, 2]
        first = 0
        while first < columns:
            if surface[v, first] != _GROUND:
                first += 1
                continue
            last, shaded, near = first, shadow[v, first], inverse[v, first]
            # Near ground changes slowly: between samples, colours are interpolated.
            wide = texel * near
            apart = 1 if wide < 2.0 or wet > 0.0 else (2 if wide < 4.0 else 4)
            farthest = min(first // stretch * stretch + stretch * apart, columns) - 1
            while last < farthest and surface[v, last + 1] == _GROUND and shadow[v, last + 1] == shaded:
                last += 1
            while abs(inverse[v, last] - near) > _EVEN_DEPTH * near and last > first:
                last = (first + last) // 2
            if last - first < apart:
                apart = 1
            last -= (last - first) % apart
            level, depth = 0, 1.0 / max(near, _LEAST_INVERSE)
            while level < len(reach) - 1 and depth > reach[level + 1]:
                level += 1
            base, height, width, scale = levels[level, 0], levels[level, 1], levels[level, 2], 1e6 / levels[level, 3]
            below = np.uint64(width)
            rx, ry, rz = row_x + rays[0, 0] * first, row_y + rays[1, 0] * first, row_z + rays[2, 0] * first
            px, py = eye[0] + depth * rx - ground[0], eye[1] + depth * ry - ground[1]
            depth = 1.0 / max(inverse[v, last], _LEAST_INVERSE)
            qx = eye[0] + depth * (row_x + rays[0, 0] * last) - ground[0]
            qy = eye[1] + depth * (row_y + rays[1, 0] * last) - ground[1]
            # In the texture, in 65536ths of its pixels.
            x0, y0, x1, y1 = px * scale - 0.5, py * scale - 0.5, qx * scale - 0.5, qy * scale - 0.5
            most_x, most_y = width - 1.001, height - 1.001
            painted = 0.0 <= x0 < most_x and 0.0 <= y0 < most_y
            if painted != (0.0 <= x1 < most_x and 0.0 <= y1 < most_y):
                last, x1, y1, qx, qy = first, x0, y0, px, py
            samples = (last - first) // apart
            part = 65536.0 / max(samples, 1)
            tx, ty = int(x0 * 65536.0), int(y0 * 65536.0)
            step_x, step_y = int((x1 - x0) * part), int((y1 - y0) * part)
            # Light, then haze: a texel's colour times a gain, plus something.
            share = haze[min(max((bits[v, first] >> HAZE_SHIFT) - HAZE_FIRST, 0), HAZE_STEPS - 1)]
            part, sun = 65536.0 * (1.0 - share), 0.0 if shaded else sunshine
            shade_b, shade_g, shade_r = (
                int(light[SKYLIGHT] * part),
                int(light[SKYLIGHT + 1] * part),
                int(light[SKYLIGHT + 2] * part),
            )
            part *= sun
            sun_b, sun_g, sun_r = (
                int(light[SUNLIGHT] * part),
                int(light[SUNLIGHT + 1] * part),
                int(light[SUNLIGHT + 2] * part),
            )
            haze_b, haze_g, haze_r = light[HORIZON] * share, light[HORIZON + 1] * share, light[HORIZON + 2] * share
            clear = 1.0 - share
            if night > 0.0:
                share = clear * night * lamps[
                    min(max(int(py * ground[5]), 0), lamps.shape[0] - 1),
                    min(max(int(px * ground[5]), 0), lamps.shape[1] - 1),
                ] / 255.0  # fmt: skip
                haze_b, haze_g, haze_r = haze_b + 34.0 * share, haze_g + 58.0 * share, haze_r + 76.0 * share
            add_b, add_g, add_r = int(haze_b), int(haze_g), int(haze_r)
            mirror = flooded = ci = cj = fade = step_ci = step_cj = sx = sy = step_sx = step_sy = 0
            if wet > 0.0:
                flat_way = math.sqrt(rx * rx + ry * ry)
                grazing = flat_way / (flat_way + abs(rz) + 1e-9)  # 1 at the horizon
                share = 0.6 * wet * grazing * grazing * grazing
                mirror = int(256.0 * share)
                flooded = int(256.0 * max(share, min(0.2 + 0.7 * grazing, 0.8) * min(1.0, 3.0 * deep)))
                b1, g1, r1, i0, j0, f0, _, _ = _towards(rx, ry, abs(rz), light, gradient, skyline)
                _, _, _, i1, j1, _, _, _ = _towards(
                    row_x + rays[0, 0] * last, row_y + rays[1, 0] * last, abs(row_z + rays[2, 0] * last),
                    light, gradient, skyline,
                )  # fmt: skip
                part = 65536.0 / max(samples, 1)
                ci, cj, fade = int(i0 * 65536.0), int(j0 * 65536.0), int(f0 * 256.0)
                step_ci, step_cj = int((i1 - i0) * part), int((j1 - j0) * part)
                sx, sy = (
                    int((px + ground[0] + 65536.0) * _PUDDLES * 65536.0),
                    int((py + ground[1] + 65536.0) * _PUDDLES * 65536.0),
                )
                step_sx, step_sy = int((qx - px) * _PUDDLES * part), int((qy - py) * _PUDDLES * part)
            pixel = 0
            for u in range(first, last + 1, apart):
                nw = ne = sw = se = np.int64(grass)
                if painted:
                    at = np.uint64(base + (ty >> 16) * width + (tx >> 16))
                    nw, ne = np.int64(texels[at]), np.int64(texels[at + one])
                    sw, se = np.int64(texels[at + below]), np.int64(texels[at + below + one])
                # Two channels are interpolated at once, in the upper and lower half of a number.
                fu, fv = (tx >> 8) & 255, (ty >> 8) & 255
                w11 = (fu * fv) >> 8
                w01, w10, w00 = fu - w11, fv - w11, 256 - fu - fv + w11
                even = (nw & _PAIR) * w00 + (ne & _PAIR) * w01 + (sw & _PAIR) * w10 + (se & _PAIR) * w11
                odd = (
                    (nw >> 8 & _PAIR) * w00
                    + (ne >> 8 & _PAIR) * w01
                    + (sw >> 8 & _PAIR) * w10
                    + (se >> 8 & _PAIR) * w11
                )
                sun_here = odd >> 24
                blue = ((even >> 8 & 255) * (shade_b + sun_b * sun_here)) >> 16
                green = ((odd >> 8 & 255) * (shade_g + sun_g * sun_here)) >> 16
                red = ((even >> 24) * (shade_r + sun_r * sun_here)) >> 16
                if wet > 0.0:
                    paved = nw >> 24 & 1
                    share = 256 - int((102.0 if paved else 51.0) * wet)
                    blue, green, red = blue * share >> 8, green * share >> 8, red * share >> 8
                    if paved:  # it mirrors the sky, puddles do so the most
                        share = (
                            flooded
                            if clouds[(sy >> 16) & (_CLOUDS - 1), (sx >> 16) & (_CLOUDS - 1)] < dry_puddles
                            else mirror
                        )
                        spot = clouds[(ci >> 16) & (_CLOUDS - 1), (cj >> 16) & (_CLOUDS - 1)]
                        cloudy = (cover[spot, 0] * fade) >> 8
                        blue += ((int(clear * (b1 + (cover[spot, 1] - b1) * cloudy / 256.0)) - blue) * share) >> 8
                        green += ((int(clear * (g1 + (cover[spot, 2] - g1) * cloudy / 256.0)) - green) * share) >> 8
                        red += ((int(clear * (r1 + (cover[spot, 3] - r1) * cloudy / 256.0)) - red) * share) >> 8
                    ci, cj, sx, sy = ci + step_ci, cj + step_cj, sx + step_sx, sy + step_sy
                blue, green, red = min(blue + add_b, 255), min(green + add_g, 255), min(red + add_r, 255)
                before, pixel = pixel, blue | green << 8 | red << 16 | _OPAQUE
                image[v, u] = pixel
                if u > first:
                    for k in range(1, apart):
                        even = (before & _PAIR) * (apart - k) + (pixel & _PAIR) * k
                        odd = (before >> 8 & _PAIR) * (apart - k) + (pixel >> 8 & _PAIR) * k
                        image[v, u - apart + k] = (even >> apart // 2 & _PAIR) | (odd >> apart // 2 & _PAIR) << 8
                tx += step_x
                ty += step_y
            first = last + 1
