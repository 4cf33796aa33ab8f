"""What travels between trainer and client process."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from sb3_carla.envs.errors import ConfigurationError
from sb3_carla.envs.transfer import dumps, loads


@pytest.mark.parametrize("kind", [np.uint8, np.float32, np.float64, np.int64, np.bool_])
@pytest.mark.parametrize("shape", [(3, 4, 5), (0,), (2, 0), ()])
def test_arrays_arrive_as_they_were_sent(kind, shape):
    sent = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(kind)
    arrived = loads(dumps(("ok", [sent, {"same": sent}])))[1]
    for array in (arrived[0], arrived[1]["same"]):
        assert array.dtype == sent.dtype
        assert array.shape == sent.shape
        np.testing.assert_array_equal(array, sent)


def test_an_array_that_is_not_contiguous_arrives_in_its_own_order():
    sent = np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1)[::-1]
    np.testing.assert_array_equal(loads(dumps(sent)), sent)


def test_an_array_that_arrived_is_the_receivers_own():
    arrived = loads(dumps(np.zeros(4, np.uint8)))
    arrived += 1
    assert arrived.tolist() == [1, 1, 1, 1]


def test_errors_arrive_with_their_kind_and_text():
    kind, error = loads(dumps(("error", ConfigurationError("There is no such thing."))))
    assert kind == "error"
    assert type(error) is ConfigurationError
    assert str(error) == "There is no such thing."


def test_the_trainer_does_not_import_carla():
    code = (
        "import sys\n"
        "from sb3_carla import CarlaEnv\n"
        "env = CarlaEnv(seed=0)\n"
        "env.reset()\n"
        "env.step(env.action_space.sample())\n"
        "env.close()\n"
        "sys.exit('carla' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120.0)
