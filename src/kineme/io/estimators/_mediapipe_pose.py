"""MediaPipe's pose of one picture after the other; as a script it answers to another process.

It imports nothing of Kineme: the Python that runs it has MediaPipe and its numpy, no more.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


class Pose:
    """The model with what it remembers of the pictures before.

    Args:
        package: ``mediapipe``.
        least: confidence of a person, at least.
    """

    def __init__(self, package: Any, least: float):
        self.version = package.__version__
        self.make = lambda: package.solutions.pose.Pose(min_detection_confidence=least, min_tracking_confidence=least)
        self.pose: Any = None

    def begin(self) -> None:
        """A new video: nothing is remembered."""
        if self.pose is not None:
            self.pose.close()
        self.pose = self.make()

    def find(self, picture: Any) -> Any:
        """x, y in shares of the picture and visibility of 33 joints, or nothing."""
        import numpy as np

        found = self.pose.process(picture).pose_landmarks
        points = [(joint.x, joint.y, joint.visibility) for joint in found.landmark] if found else []
        return np.array(points, np.float32).reshape(-1, 3)


def main(least: str) -> None:
    """Lines in: ``begin``, or height and width with the picture's bytes behind; for each picture a line of JSON out."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever the package prints is no answer
    sys.path.pop(0)  # this folder, in which a file is called like the package
    import mediapipe
    import numpy as np

    pose = Pose(mediapipe, float(least))
    print(json.dumps({"version": pose.version}), file=out, flush=True)
    for line in sys.stdin.buffer:
        if line == b"begin\n":
            pose.begin()
            continue
        height, width = map(int, line.split())
        data = sys.stdin.buffer.read(height * width * 3)
        picture = np.frombuffer(data, np.uint8).reshape(height, width, 3)
        print(json.dumps({"joints": pose.find(picture).tolist()}), file=out, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
