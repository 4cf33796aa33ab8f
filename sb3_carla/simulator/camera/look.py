"""What a weather does to light, sky and sight.

Light is relative to CARLA's ClearNoon, whose colours are those that the textures are painted in: level ground in the
sun has a gain of 1 then.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sb3_carla.simulator.weather import Weather

Colour = tuple[float, float, float]  # B, G, R in 0..255, OpenCV's order

# A row of the haze table is the upper part of the inverse depth's bits: its exponent and some of its fraction.
HAZE_SHIFT = 16
HAZE_FIRST = (127 - 13) << (23 - HAZE_SHIFT)  # 2**-13: farther than anything
HAZE_STEPS = 16 << (23 - HAZE_SHIFT)
_GRADIENT = 256  # rows of the sky's gradient, by the sine of the elevation
# Where the parts of Look.numbers begin.
SUN, SUNLIGHT, SKYLIGHT, ZENITH, HORIZON, CLOUD, CLOUDINESS, NIGHT, WET, PUDDLES, GLOW, RAIN = (
    0, 3, 6, 9, 12, 15, 18, 19, 20, 21, 22, 23,
)  # fmt: skip
_NUMBERS = 24


class Look(NamedTuple):
    """What a camera needs to know of the weather. Colours are B, G, R."""

    sun: tuple[float, float, float]  # unit vector towards the sun (or moon), world axes
    sunlight: Colour  # gains of the light that comes from it
    skylight: Colour  # gains of the light that comes from everywhere
    zenith: Colour
    horizon: Colour  # also the colour of haze
    cloud: Colour
    cloudiness: float  # 0..1
    night: float  # 0 by day, 1 by night
    wet: float  # how much the ground mirrors, 0..1
    puddles: float  # 0..1
    glow: float  # of the sun's disc, 0..1
    rain: float  # 0..1
    haze: float  # part of the light lost per metre [1/m]
    clear: float  # distance before which there is no haze [m]

    @property
    def casts_shadows(self) -> bool:
        """Whether the sun is strong enough for that."""
        return max(self.sunlight) > 0.08


class Light(NamedTuple):
    """A look as the kernels take it."""

    numbers: npt.NDArray[np.float64]
    haze: npt.NDArray[np.float64]  # share of haze by inverse depth
    gradient: npt.NDArray[np.float64]  # (rows, 3) the clear sky's colour from the horizon to the zenith
    cover: npt.NDArray[np.int64]  # (256, 4) by the clouds' picture: how much they cover, of 256, and their B, G, R


@lru_cache(maxsize=16)
def light_of(look: Look) -> Light:
    """Lay a look out for the kernels."""
    numbers = np.concatenate([np.atleast_1d(np.array(part, float)) for part in look[:12]])
    assert len(numbers) == _NUMBERS
    rows = np.arange(HAZE_STEPS, dtype=np.int32) + HAZE_FIRST
    depth = 1.0 / (((rows << HAZE_SHIFT) + (1 << (HAZE_SHIFT - 1))).view(np.float32).astype(float))
    haze = 1.0 - np.exp(-look.haze * np.maximum(depth - look.clear, 0.0))
    sine = np.linspace(0.0, 1.0, _GRADIENT)[:, None]
    fade = (1.0 - sine) ** 4 * (1.0 - 0.35 * sine)
    gradient = look.zenith + (np.array(look.horizon) - look.zenith) * fade
    cover = np.clip((np.arange(256) - 205.0 + 170.0 * look.cloudiness) * 0.012, 0.0, 0.8 + 0.15 * look.cloudiness)
    dark = 1.04 - 0.16 * cover  # thick clouds are darker underneath
    clouds = np.minimum(np.outer(dark, look.cloud), 255.0)
    return Light(numbers, haze, gradient, np.rint(np.column_stack([256.0 * cover, clouds])).astype(np.int64))


@lru_cache(maxsize=64)
def look_of(weather: Weather) -> Look:
    """How a weather looks.

    >>> look_of(Weather()).night
    0.0
    """
    if all(part == -1.0 for part in weather[:9]):  # CARLA's preset Default: the town's own light
        weather = Weather()
    weather = Weather(*(part if math.isfinite(part) else usual for part, usual in zip(weather, Weather(), strict=True)))
    day = _ramp(weather.sun_altitude_angle, -9.0, 10.0)
    low_sun = day * (1.0 - _ramp(weather.sun_altitude_angle, 6.0, 30.0))
    cloud, rain, fog = _share(weather.cloudiness), _share(weather.precipitation), _share(weather.fog_density)
    dust = _share(weather.dust_storm)
    wet = max(_share(weather.wetness), _share(weather.precipitation_deposits), rain)
    grey = max(cloud, fog)
    veiled = min(1.0, max(1.05 * (cloud - 0.05), 1.2 * (fog - 0.02), 0.8 * rain, 1.4 * dust))

    skylight = _mix((0.24, 0.18, 0.15), (0.53, 0.52, 0.51), day)  # nights are blue
    skylight = _times(skylight, 1.0 + 0.42 * veiled * day - 0.22 * rain)
    sunlight = _mix((0.06, 0.045, 0.035), (0.66, 0.68, 0.69), day)
    sunlight = _mix(sunlight, (0.50, 0.78, 1.05), 0.85 * low_sun)
    sunlight = _times(sunlight, (1.0 - veiled) ** 1.5)
    if dust:
        skylight, sunlight = (_mix(one, _times(one, (0.6, 0.85, 1.0)), dust) for one in (skylight, sunlight))

    zenith = _mix((206.0, 132.0, 62.0), (172.0, 160.0, 150.0), grey)
    horizon = _mix((234.0, 216.0, 192.0), (196.0, 191.0, 185.0), grey)
    horizon = _mix(horizon, (110.0, 165.0, 245.0), 0.75 * low_sun * (1.0 - grey))
    zenith = _mix(zenith, (165.0, 112.0, 92.0), 0.75 * low_sun * (1.0 - grey))
    dark = 1.0 - 0.35 * rain
    zenith = _mix((38.0, 20.0, 10.0), _times(zenith, dark), day)
    horizon = _mix((58.0, 38.0, 28.0), _times(horizon, dark), day)
    brown = _times((105.0, 150.0, 185.0), 0.2 + 0.8 * day)
    zenith, horizon = _mix(zenith, brown, dust), _mix(horizon, brown, dust)
    zenith = _mix(zenith, horizon, 0.9 * fog)
    cloud_colour = _mix((252.0, 250.0, 250.0), (158.0, 152.0, 146.0), min(1.0, 0.7 * cloud + 0.5 * rain))
    cloud_colour = _mix(cloud_colour, (120.0, 150.0, 236.0), 0.6 * low_sun * (1.0 - grey))
    azimuth, altitude = math.radians(weather.sun_azimuth_angle), math.radians(max(weather.sun_altitude_angle, 8.0))
    return Look(
        sun=(math.cos(altitude) * math.cos(azimuth), math.cos(altitude) * math.sin(azimuth), math.sin(altitude)),
        sunlight=sunlight,
        skylight=skylight,
        zenith=zenith,
        horizon=horizon,
        cloud=_times(cloud_colour, 0.12 + 0.88 * day),
        cloudiness=cloud,
        night=1.0 - day,
        wet=wet,
        puddles=_share(weather.precipitation_deposits),
        glow=(1.0 - 0.95 * veiled) * (0.25 + 0.75 * day),
        rain=rain,
        haze=0.0009 + 0.045 * max(fog - 0.02, 0.0) ** 1.3 + 0.004 * rain + 0.03 * dust,
        clear=max(weather.fog_distance, 0.0),
    )


def _share(percent: float) -> float:
    return min(max(percent / 100.0, 0.0), 1.0)


def _ramp(value: float, low: float, high: float) -> float:
    """0 below ``low``, 1 above ``high``, smooth in between."""
    t = min(max((value - low) / (high - low), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


def _mix(first: Colour, second: Colour, share: float) -> Colour:
    b, g, r = ((1.0 - share) * a + share * b for a, b in zip(first, second, strict=True))
    return b, g, r


def _times(colour: Colour, gain: float | Colour) -> Colour:
    gains = gain if isinstance(gain, tuple) else (gain, gain, gain)
    b, g, r = (a * b for a, b in zip(colour, gains, strict=True))
    return b, g, r
