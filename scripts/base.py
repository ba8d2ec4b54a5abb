"""Make the weights `base` that come with Kineme: `python scripts/base.py FOLDER` (KINEME_DATA names the raw data).

Motion that may be passed on as weights only: synthetic clips, and the two CMU sets cut into windows of 2.5 seconds.
What is there already is kept, and an interrupted training is resumed.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np

import kineme

STEPS, SEED = 2400, 0
SENSOR = {"subjects": 60, "cameras": 3, "noise": 0.7, "dropout": 0.02}
WINDOWS = {"cmu_free": (75, 30), "cmu_mocap": (150, 60)}  # frames: 2.5 s every second
HOW = {"layout": "pose13", "unit": "torso"}


def windows(table: Path, recorded: Path, length: int, step: int) -> Path:
    """A label table that cuts every take of a set into windows."""
    with np.load(recorded) as arrays:
        takes = list(zip(arrays["names"].tolist(), np.diff(arrays["offsets"]).tolist()))
    rows = ["source,start,end"]
    for name, frames in takes:
        last = max(1, frames - length + 1)
        rows += [f"{name},{start},{min(start + length, frames)}" for start in range(0, last, step)]
    table.write_text("\n".join(rows) + "\n")
    return table


def main() -> None:
    """Prepare what is missing, and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    folder, data = parser.parse_args().folder, Path(os.environ["KINEME_DATA"])
    if not (folder / "raw").exists():
        kineme.synth.write(folder / "raw", 4800, seed=11, **SENSOR)
    if not (folder / "synth").exists():
        kineme.prepare(folder / "raw", folder / "synth", **HOW)
    for name, cut in WINDOWS.items():
        if not (folder / name).exists():
            table = windows(folder / f"{name}.csv", data / name / f"{name}.npz", *cut)
            kineme.prepare(data / name, folder / name, labels=table, **HOW)
    run = folder / "base"
    kineme.pretrain(
        "simclr",
        [folder / name for name in ("synth", "cmu_free", "cmu_mocap")],
        run,
        steps=STEPS,
        seed=SEED,
        settings={"encoder.joint_mask": 0.3},
        resume=run.exists(),
        progress=True,
    )


if __name__ == "__main__":
    main()
