"""A set in 3-D as the cameras that recorded it saw it: `python scripts/in_image.py STORE OUT` (docs/methods/base.md).

STORE holds joints in the frame of a depth sensor, in metres (`kineme prepare SRC STORE --normalise none`). OUT is a
store of the same clips in pixels, on the joints of `pose13`.
"""

from __future__ import annotations

import argparse

import numpy as np

import kineme
from kineme.motion import camera

FOCAL, IMAGE, NEAREST = 525.0, (640, 480), 0.5  # pixels, of a Kinect; metres


def main() -> None:
    """Project every clip."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("out")
    args, clips = parser.parse_args(), []
    for motion in kineme.open(args.store):
        space = motion.joints.astype(np.float64)
        space[..., 2] = space[..., 2].clip(NEAREST)
        flat = camera.pixels(space, FOCAL, IMAGE).astype(np.float32)
        clips.append(motion.with_(joints=flat, up="-y", unit="px", image_size=IMAGE))
    kineme.store(clips, args.out, layout="pose13", normalise="image")


if __name__ == "__main__":
    main()
