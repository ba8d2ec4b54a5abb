"""A folder of motion files becomes a store, a run, and an answer to "what is like this clip?".

    python examples/1_folder_to_neighbours.py [OUT] [FOLDER]

Without FOLDER the motions are synthetic: BVH files of four actions.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

import kineme


def main(out: Path, folder: Path | None = None) -> None:
    if folder is None:
        folder = out / "motion"
        actions = ["walk", "kick", "wave", "jump"]
        kineme.synth.write(folder, 48, format="bvh", actions=actions, subjects=4, cameras=0)

    # layout= maps every rig to one set of joints; files that cannot be read are skipped and listed, never fatal
    store = kineme.prepare(folder, out / "store", layout="kinect20")
    print(store)

    # a few epochs show that it runs; a real set wants the default (leave epochs away)
    small = {"encoder.hidden": 32, "loop.batch": 8}
    run = kineme.pretrain("moco", store, out / "run", epochs=3, settings=small)

    vectors = kineme.load(run).embed(store)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    likeness = unit @ unit[0]  # cosine to the first clip
    for row in likeness.argsort()[::-1][:5]:
        print(f"{likeness[row]:.3f}  {store.ids[row]}")


if __name__ == "__main__":
    where = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp())
    main(where, Path(sys.argv[2]) if len(sys.argv) > 2 else None)
