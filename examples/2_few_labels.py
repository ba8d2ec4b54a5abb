"""A recogniser from five labels a class: vectors of an encoder that saw no label, and logistic regression.

python examples/2_few_labels.py [OUT]
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import kineme


def main(out: Path) -> None:
    actions = ["walk", "kick", "wave", "jump"]
    kineme.synth.write(out / "motion", 160, actions=actions, subjects=8, cameras=2)
    store = kineme.prepare(out / "motion", out / "store")

    # train on the training part only: people of the test part must not be known to the encoder either
    # how joints move says more than where they are, and an average over time learns faster than the last frame
    small = {"encoder.name": "bidirectional", "encoder.hidden": 64, "method.stream": "motion", "loop.batch": 16}
    run = kineme.pretrain("moco", store, out / "run", split="xsub", epochs=40, settings=small)
    model = kineme.load(run)

    labels, subjects = store.column("label"), store.column("subject")
    train, test = subjects % 2 == 1, subjects % 2 == 0
    rng = np.random.default_rng(0)
    few = np.concatenate([rng.choice(np.flatnonzero(train & (labels == each)), 5, replace=False) for each in actions])

    # the untrained encoder is the honest comparison: random networks are strong features
    for name, encoder in (("trained", model), ("untrained", model.untrained())):
        vectors = encoder.embed(store)
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
        probe.fit(vectors[few], labels[few].astype(str))
        score = probe.score(vectors[test], labels[test].astype(str))
        print(f"{name}: {score:.3f} of {test.sum()} clips of other people, from {len(few)} labels")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp()))
