"""Put a trained model into the package as a policy that users can try at once.

    python benchmarks/learn.py --recipes "images only, four towns, 120 000 steps" --seeds 1 --every 120000
    cd learn/runs/images-only-four-towns-120-000-steps/1/zoo/td3/CarlaChangingTown-v0_1
    python PATH/TO/benchmarks/pretrained.py CarlaChangingTown-v0.zip lane_following

Leaves out what only a continued training would read: the moments of the optimizers. What the model sees and does goes
beside it, as rl_zoo3 would write it, so that ``enjoy`` and ``evaluate`` set up the same camera and actions.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import yaml

from sb3_carla import TD3
from sb3_carla.zoo.models import PRETRAINED, interface_of

# Left out, as they say where the training stood and not how the policy drives.
STATE_OF_TRAINING = ["tensorboard_log", "ep_info_buffer", "ep_success_buffer", "_last_obs", "_last_original_obs"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="model file in the folder of its run")
    parser.add_argument("name", help="to try it by, such as the scenario's")
    parser.add_argument(
        "--env", default="CarlaChangingTown-v0", help="gym id that it was trained in (default: %(default)s)"
    )
    options = parser.parse_args()
    model = TD3.load(options.model, device="cpu", custom_objects={"buffer_size": 1})
    for part in (model.actor, model.critic):
        part.optimizer.state.clear()
    folder = PRETRAINED / options.name
    (folder / options.env).mkdir(parents=True, exist_ok=True)
    model.save(folder / f"{options.name}.zip", exclude=STATE_OF_TRAINING)
    run = options.model.parent / options.env
    config = {"env_kwargs": interface_of(options.model)}
    normalizer = run / "vecnormalize.pkl"
    if normalizer.exists():
        shutil.copy(normalizer, folder / options.env)
        written = yaml.load((run / "config.yml").read_text(encoding="utf-8"), Loader=yaml.UnsafeLoader)
        config["normalize"] = dict(written)["normalize"]
    (folder / options.env / "config.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    print(f"{folder / options.name}.zip, {(folder / f'{options.name}.zip').stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
