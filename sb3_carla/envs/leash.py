"""``python -m sb3_carla.envs.leash PARENT COMMAND...`` runs a command that ends with a parent, however that one ends.

A trainer that is killed cannot end the CARLA server that it started, and CARLA does not look at its parent. This
process leads the group of both: when the parent is gone, it ends the whole group, itself included.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys

LOOK_ROUND = 0.5  # [s]


def main() -> int:
    """Run the command; its exit code is ours."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    while True:
        try:
            return child.wait(LOOK_ROUND)
        except subprocess.TimeoutExpired:
            if os.getppid() != parent:
                os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
