"""Write a progress.csv as Stable-Baselines3 does."""

from __future__ import annotations

import csv


def write_progress(folder, columns, name="progress.csv"):
    """Write columns of equal length as SB3's csv logger does; steps are counted in hundreds if not given."""
    folder.mkdir(parents=True, exist_ok=True)
    length = len(next(iter(columns.values())))
    columns = {"time/total_timesteps": [100 * (i + 1) for i in range(length)], **columns}
    with (folder / name).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return folder
