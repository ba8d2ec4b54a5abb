"""Pictures: a strip of one motion, an animation of several, a map of the vectors of a store.

python examples/5_pictures.py [OUT]
"""

import sys
import tempfile
from pathlib import Path

import kineme
from kineme.viz import plots


def main(out: Path) -> None:
    actions = ["walk", "kick", "wave", "jump"]
    motions = list(kineme.synth.generate(4, actions=actions, subjects=1, cameras=0))
    kineme.draw.strip(motions[1], out / "strip.png")  # left limbs in one colour, right ones in another
    kineme.draw.gif(motions, out / "four.gif", columns=2)

    kineme.synth.write(out / "motion", 80, actions=actions, subjects=5, cameras=1)
    store = kineme.prepare(out / "motion", out / "store")
    small = {"encoder.hidden": 32, "loop.batch": 16}
    model = kineme.load(kineme.pretrain("moco", store, out / "run", epochs=5, settings=small))
    points = plots.tsne(model.embed(store))
    plots.embedding_map(points, list(store.column("label")), out / "map.png", "80 clips of four actions")
    print(f"Pictures written to {out}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp()))
