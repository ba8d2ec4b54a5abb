"""Make the weights that come with Kineme: `python scripts/base.py FOLDER [base] [base_2d]` (KINEME_DATA: raw data).

Motion that may be passed on as weights only: synthetic clips, and the two CMU sets cut into windows of 2.5 seconds;
for `base_2d` the same clips as random cameras see them, with joints out of sight and a detector's noise. What is there
already is kept, and an interrupted training is resumed.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np

import kineme
from kineme.motion import camera, size

SEED = 0
STEPS = {"base": 2400, "base_2d": 1500}
SETTINGS = {
    "base": {"encoder.joint_mask": 0.3, "encoder.spread": False, "encoder.parts": False, "method.same": []},
    "base_2d": {"encoder.joint_mask": 0.3},
}
SETS = {"synth": 1, "cmu_free": 3, "cmu_mocap": 3}  # how many cameras look at a clip
SENSOR = {"subjects": 60, "cameras": 3, "noise": 0.7, "dropout": 0.02}
WINDOWS = {"cmu_free": (75, 30), "cmu_mocap": (150, 60)}  # frames: 2.5 s every second
HOW = {"layout": "pose13", "unit": "torso"}
BODY = size.BODY  # metres of every torso in these stores
IMAGE = (1920, 1080)


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


def seen(motion: kineme.Motion, source: str, performance: str, gen: np.random.Generator) -> kineme.Motion:
    """A clip as a random camera and a pose detector would give it: pixels, joints out of sight for a while, noise.

    Args:
        performance: the same for whatever shows one movement.
    """
    there = motion.confidence > 0
    joints = motion.joints.astype(np.float64)
    azimuth, elevation = gen.uniform((-np.pi, -np.pi / 18), (np.pi, np.pi / 5))
    distance, roll = gen.uniform(2.5, 8.0), 0.05 * gen.normal()
    eye = camera.orbit(*(np.array(x) for x in (azimuth, elevation, distance)), joints[there].mean(0), np.array(roll))
    space = camera.see(joints, eye)
    space[..., 2] = space[..., 2].clip(0.3)
    focal = gen.uniform(50, 150) * distance / BODY  # a torso of so many pixels
    flat = camera.pixels(space, focal, IMAGE)
    flat += gen.normal(size=flat.shape) * focal * BODY / distance * gen.uniform(0, 0.04)
    confidence, share = there.astype(np.float32), gen.uniform(0, 0.5)
    for joint in np.flatnonzero(gen.random(joints.shape[2]) < share):
        first, last = np.sort(gen.integers(0, len(joints) + 1, 2))
        confidence[first:last, :, joint] = 0
    confidence *= gen.random(confidence.shape) >= gen.uniform(0, 0.1)
    where = {"fps": motion.fps, "up": "-y", "unit": "px", "image_size": IMAGE}
    what = {"label": motion.label, "source": source, "extra": {"performance": performance}}
    return kineme.Motion(flat.astype(np.float32), motion.layout, confidence, **where, **what)


def flat(folder: Path) -> None:
    """All sets of a folder in one store of 2-D clips."""
    gen, clips = np.random.default_rng(SEED), []
    for name, cameras in SETS.items():
        for motion in kineme.open(folder / name):
            movement = f"{name} {motion.extra.get('performance') or motion.source}"
            clips += [seen(motion, f"{name} {motion.source} {k}", movement, gen) for k in range(cameras)]
    kineme.store(clips, folder / "flat", layout="pose13", normalise="image")


def main() -> None:
    """Prepare what is missing, and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("which", nargs="*", metavar="base|base_2d", default=list(STEPS), help="default: both")
    args, data = parser.parse_args(), Path(os.environ["KINEME_DATA"])
    folder = args.folder
    if not (folder / "raw").exists():
        kineme.synth.write(folder / "raw", 4800, seed=11, **SENSOR)
    if not (folder / "synth").exists():
        kineme.prepare(folder / "raw", folder / "synth", **HOW)
    for name, cut in WINDOWS.items():
        if not (folder / name).exists():
            table = windows(folder / f"{name}.csv", data / name / f"{name}.npz", *cut)
            kineme.prepare(data / name, folder / name, labels=table, **HOW)
    if not (folder / "flat").exists() and "base_2d" in args.which:
        flat(folder)
    for name in args.which:
        run = folder / name
        kineme.pretrain(
            "simclr",
            [folder / "flat"] if name == "base_2d" else [folder / each for each in SETS],
            run,
            steps=STEPS[name],
            seed=SEED,
            settings=SETTINGS[name],
            resume=run.exists(),
            progress=True,
        )


if __name__ == "__main__":
    main()
