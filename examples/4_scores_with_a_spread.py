"""Two seeds scored by two protocols, beside their untrained encoders and hand-crafted features.

python examples/4_scores_with_a_spread.py [OUT]
"""

import sys
import tempfile
from pathlib import Path

from rich.console import Console

import kineme


def main(out: Path) -> None:
    kineme.synth.write(out / "motion", 160, actions=["walk", "kick", "wave", "jump"], subjects=8, cameras=2)
    store = kineme.prepare(out / "motion", out / "store")
    # how joints move says more than where they are, and an average over time learns faster than the last frame
    small = {"encoder.name": "bidirectional", "encoder.hidden": 64, "method.stream": "motion", "loop.batch": 16}
    runs = [
        kineme.pretrain("moco", store, out / f"run-{seed}", split="xsub", seed=seed, epochs=40, settings=small)
        for seed in (0, 1)
    ]
    # the split that was trained on is the one that is tested on: the encoder has seen neither labels nor test people
    rows = kineme.evaluate([kineme.load(run) for run in runs], store, protocols=["knn", "linear"], split="xsub")
    Console(width=130).print(kineme.evaluation.table(rows))
    for sentence in kineme.evaluation.verdicts(rows):
        print(sentence)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp()))
