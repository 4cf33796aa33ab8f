"""Weather: CARLA's fourteen numbers, and what they do to light, sky and sight.

The picture's light is computed once per weather and relative to CARLA's ClearNoon, whose colours are those that the
textures are painted in: the usual weather costs nothing per frame.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Colour = tuple[float, float, float]  # B, G, R in 0..255, OpenCV's order


class Weather(NamedTuple):
    """CARLA's weather parameters in the order of the wire; the defaults are the preset ClearNoon."""

    cloudiness: float = 5.0  # [%]
    precipitation: float = 0.0  # [%]
    precipitation_deposits: float = 0.0  # [%]
    wind_intensity: float = 10.0  # [%]
    sun_azimuth_angle: float = -1.0  # [deg]
    sun_altitude_angle: float = 45.0  # [deg], negative at night
    fog_density: float = 2.0  # [%]
    fog_distance: float = 0.75  # where the fog begins [m]
    fog_falloff: float = 0.1
    wetness: float = 0.0  # [%]
    scattering_intensity: float = 1.0
    mie_scattering_scale: float = 0.03
    rayleigh_scattering_scale: float = 0.0331
    dust_storm: float = 0.0  # [%]


class Look(NamedTuple):
    """What a camera needs to know of the weather. Colours are B, G, R."""

    sun: tuple[float, float, float]  # unit vector towards the sun (or moon), world axes
    contrast: float  # how much brighter a face is that looks into the sun than one that looks away, 0..1
    light: Colour  # gains on everything but the sky
    ground: Colour  # gains on the ground, which gets dark when it is wet
    zenith: Colour
    horizon: Colour  # also the colour of haze
    cloud: Colour
    cloudiness: float  # 0..1
    haze: float  # part of the light lost per metre [1/m]
    clear: float  # distance before which there is no haze [m]
    rain: float  # 0..1
    night: float  # 0 by day, 1 by night

    def haze_at(self, distance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """How much of a colour at a distance [m] is replaced by haze, 0..1."""
        faded: npt.NDArray[np.float64] = 1.0 - np.exp(-self.haze * np.maximum(distance - self.clear, 0.0))
        return faded

    @property
    def glass(self) -> npt.NDArray[np.float64]:
        """Colours (2, 4) of windows behind which it is dark, and of those where somebody is at home."""
        dark = np.array((96.0, 84.0, 72.0)) * self.light
        warm = dark * 1.12 + (np.array((96.0, 184.0, 236.0)) - dark) * self.night
        return np.array([[*dark, 255.0], [*warm, 255.0]])

    @property
    def ground_table(self) -> npt.NDArray[np.uint8] | None:
        """A look-up table (1, 256, 4) for the ground's colours, or None where nothing changes."""
        if max(abs(gain - 1.0) for gain in self.ground) < 0.005:
            return None
        table = np.arange(256)[:, None] * np.array([*self.ground, 1.0])
        return np.asarray(np.clip(np.rint(table), 0, 255), np.uint8)[None]


@lru_cache(maxsize=64)
def look_of(weather: Weather) -> Look:
    """How a weather looks.

    >>> look_of(Weather()).ground_table is None
    True
    """
    if all(part == -1.0 for part in weather[:9]):  # CARLA's preset Default: the town's own light
        weather = Weather()
    weather = Weather(*(part if math.isfinite(part) else usual for part, usual in zip(weather, Weather(), strict=True)))
    day = _ramp(weather.sun_altitude_angle, -8.0, 12.0)
    low_sun = day * (1.0 - _ramp(weather.sun_altitude_angle, 5.0, 28.0))
    cloud = _share(weather.cloudiness)
    rain = _share(weather.precipitation)
    wet = max(_share(weather.wetness), _share(weather.precipitation_deposits), rain)
    fog = _share(weather.fog_density)
    dust = _share(weather.dust_storm)
    grey = max(cloud, fog)

    light = _mix((0.42, 0.30, 0.24), (1.0, 1.0, 1.0), day)  # nights are blue
    light = _mix(light, (0.62, 0.82, 1.02), 0.8 * low_sun * (1.0 - grey))
    light = _times(light, 1.0 - 0.32 * max(cloud - 0.1, 0.0) - 0.1 * rain)
    light = _mix(light, _times(light, (0.6, 0.85, 1.0)), dust)
    ground = _times(light, 1.0 - 0.38 * wet)

    zenith = _mix((205.0, 140.0, 78.0), (165.0, 152.0, 142.0), grey)
    horizon = _mix((232.0, 218.0, 198.0), (190.0, 186.0, 180.0), grey)
    horizon = _mix(horizon, (110.0, 165.0, 245.0), 0.75 * low_sun * (1.0 - grey))
    zenith = _mix(zenith, (175.0, 125.0, 105.0), 0.7 * low_sun * (1.0 - grey))
    dark = 1.0 - 0.3 * rain
    zenith, horizon = (
        _mix((44.0, 24.0, 14.0), _times(zenith, dark), day),
        _mix((62.0, 40.0, 30.0), _times(horizon, dark), day),
    )
    zenith, horizon = (
        _mix(zenith, _times(light, (105.0, 150.0, 185.0)), dust),
        _mix(horizon, _times(light, (105.0, 150.0, 185.0)), dust),
    )
    zenith = _mix(zenith, horizon, 0.9 * fog)
    azimuth, altitude = math.radians(weather.sun_azimuth_angle), math.radians(max(weather.sun_altitude_angle, 10.0))
    return Look(
        sun=(math.cos(altitude) * math.cos(azimuth), math.cos(altitude) * math.sin(azimuth), math.sin(altitude)),
        contrast=(0.15 + 0.25 * day) * (1.0 - 0.75 * max(cloud - 0.1, 0.0)),
        light=light,
        ground=ground,
        zenith=zenith,
        horizon=horizon,
        cloud=_times(light, _mix((250.0, 250.0, 250.0), (150.0, 146.0, 142.0), 0.6 * cloud + 0.4 * rain)),
        cloudiness=cloud,
        haze=0.0012 + 0.05 * max(fog - 0.02, 0.0) + 0.004 * rain + 0.03 * dust,
        clear=max(weather.fog_distance, 0.0),
        rain=rain,
        night=1.0 - day,
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
