"""What each part of the encoder `fused` is worth before any training (docs/results/ablations.md).

`python scripts/ablations.py STORE SPLIT [STORE SPLIT ...]`: only the training side of a split is looked at, cut by
its cameras (one is asked, another teaches) and its people (`SPLIT+val1`, `SPLIT+val5`), or else into two halves,
each of which is asked once. A line for each form of the encoder: 1-NN / linear accuracy on every store, mean over these
cuts and two seeds of weights.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator

import numpy as np
import torch

import kineme
from kineme import encoders
from kineme.data import splits
from kineme.encoders.fused import Fused
from kineme.evaluation.protocols.knn import predict
from kineme.evaluation.protocols.linear import logistic
from kineme.nn.batch_norm import fix_statistics
from kineme.views.augment import centre_crop
from kineme.views.source import ClipLoader

CHANNELS = Fused.Settings.channels
EARLIER = {"spread": False, "parts": False}  # maxima alone
FORMS: dict[str, tuple[dict, str]] = {  # settings, and which part of the vector
    "everything": ({}, "all"),
    "without maxima of body parts": ({"parts": False}, "all"),
    "without deviations": ({"spread": False}, "all"),
    "without both": (EARLIER, "all"),
    "without both and maxima of halves": ({**EARLIER, "halves": False}, "all"),
    "without both, branch of frames": (EARLIER, "time"),
    "without both, branch of joints": (EARLIER, "space"),
    "without own fronts": ({"front": False}, "all"),
    **{f"without `{name}`": ({"channels": tuple(x for x in CHANNELS if x != name)}, "all") for name in CHANNELS},
    "`motion` alone": ({"channels": ("motion",)}, "all"),
    "`pose` alone": ({"channels": ("pose",)}, "all"),
    "two blocks": ({"blocks": 2}, "all"),
    "twice as wide": ({"hidden": 256}, "all"),
}
SEEDS = (0, 1)


def cuts(store: kineme.Store, split: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Who teaches and who is asked, within the training side."""
    known = [label is not None for label in store.column("label")]
    rows = [row for row in splits.split(store, split).train if known[row]]
    cameras = store.column("camera")[rows]
    if len(set(cameras.tolist())) == 2:
        sides = [np.array(rows)[cameras == camera] for camera in sorted(set(cameras.tolist()))]
        yield from (sides, sides[::-1])
    made = []
    with contextlib.suppress(kineme.InputError):
        made = [splits.split(store, f"{split}+{part}") for part in ("val1", "val5")]
    for each in made:
        yield tuple(np.array([row for row in side if known[row]]) for side in (each.train, each.test))
    if not made:
        halves = np.array_split(np.random.default_rng(0).permutation(rows), 2)
        yield from ([np.sort(half) for half in order] for order in (halves, halves[::-1]))


def vectors(encoder: Fused, source: ClipLoader, rows: np.ndarray) -> np.ndarray:
    """Of clips as they are evaluated."""
    return np.concatenate([encoder(batch).clip.numpy() for batch in batches(encoder, source, rows)])


def batches(encoder: Fused, source: ClipLoader, rows: np.ndarray) -> Iterator:
    for some in torch.from_numpy(rows).split(256):
        yield source.gather(some, *centre_crop(source.lengths[some]), encoder.settings.frames)


@torch.inference_mode()
def score(store: kineme.Store, split: str, given: dict, part: str) -> tuple[float, float]:
    """1-NN and linear accuracy of one form."""
    source, up, found = ClipLoader(store), store.card.get("up"), []
    _, labels = np.unique(store.column("label").astype(str), return_inverse=True)
    for seed in SEEDS:
        for taught, asked in cuts(store, split):
            torch.manual_seed(seed)
            settings = Fused.Settings(**given)
            encoder = encoders.build("fused", settings, store.layout, store.coords, store.persons, up).eval()
            fix_statistics(encoder, batches(encoder, source, taught[:: max(1, len(taught) // 1024)]))
            gallery, queries = (vectors(encoder, source, rows) for rows in (taught, asked))
            if part != "all":
                of = slice(encoder.time.dim) if part == "time" else slice(encoder.time.dim, None)
                gallery, queries = gallery[:, of], queries[:, of]
            near = predict(gallery, labels[taught], queries, [1])[1]
            probe = logistic(gallery, labels[taught], queries, max_iter=60).argmax(1)
            found.append([np.mean(near == labels[asked]), np.mean(probe == labels[asked])])
    return tuple(np.mean(found, 0))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("given", nargs="+", metavar="STORE SPLIT")
    given = parser.parse_args().given
    stores = [(kineme.open(path), split) for path, split in zip(given[::2], given[1::2])]
    print(f"| | {' | '.join(f'{store.path.name} {split}' for store, split in stores)} |")
    print(f"|---|{'---|' * len(stores)}")
    for name, (settings, part) in FORMS.items():
        cells = [score(store, split, settings, part) for store, split in stores]
        print(f"| {name} | {' | '.join(f'{near:.3f} / {linear:.3f}' for near, linear in cells)} |", flush=True)


if __name__ == "__main__":
    main()
