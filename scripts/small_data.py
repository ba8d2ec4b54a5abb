"""What helps who has few clips: `base`, `base` adapted, a training from scratch, or none (docs/results/small-data.md).

`python scripts/small_data.py STORE SPLIT OUT`: 20, 50 and 100 clips are drawn from the training side of the split,
evenly over the classes that its test side has. Encoders learn from them without their labels; the same clips are the
gallery of 1-NN and teach the linear probe, all test clips are asked. OUT keeps a line for each figure: what is there is
not computed again. For 2-D poses `base` is `base_2d`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import kineme
from kineme.data import splits
from kineme.evaluation.protocols.knn import predict
from kineme.evaluation.protocols.linear import logistic
from kineme.training import bundled


def drawn(store: kineme.Store, split: str, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the training side, as many of each class as there are, and all of the test side with these classes."""
    sides, labels = splits.split(store, split), store.column("label")
    asked = np.array([row for row in sides.test if labels[row] is not None])
    known = set(labels[asked].tolist())
    rows = np.random.default_rng(seed).permutation([row for row in sides.train if labels[row] in known])
    ranks = {label: iter(range(len(rows))) for label in known}
    order = np.argsort([next(ranks[labels[row]]) for row in rows], kind="stable")
    return np.sort(rows[order[:count]]), asked


def scores(store: kineme.Store, vectors: np.ndarray, few: np.ndarray, asked: np.ndarray) -> dict[str, float]:
    """1-NN and linear accuracy."""
    numbers = np.unique(store.column("label")[np.concatenate([few, asked])].tolist(), return_inverse=True)[1]
    taught, truth = numbers[: len(few)], numbers[len(few) :]
    gallery, queries = vectors[few], vectors[asked]
    near = predict(gallery, taught, queries, [1])[1]
    probe = logistic(gallery, taught, queries).argmax(1)
    return {"1-NN": float(np.mean(near == truth)), "linear": float(np.mean(probe == truth))}


def pretrained(store: kineme.Store, few: np.ndarray, asked: np.ndarray, run: Path, **more: object) -> Path:
    """SimCLR with the encoder `fused` on these clips alone."""
    names = run.with_suffix(".txt")
    lines = ["Training:", *(store.ids[row] for row in few), "Test:", *(store.ids[row] for row in asked)]
    names.parent.mkdir(parents=True, exist_ok=True)
    names.write_text("\n".join(lines) + "\n")
    shutil.rmtree(run, ignore_errors=True)
    return kineme.pretrain("simclr", store, run, split=f"file:{names}", device="cpu", **more)


def figures(args: argparse.Namespace, store: kineme.Store, known: set[str]) -> Iterator[dict]:
    """A line for each way that is not there yet."""
    base, own = None, bundled.suited(store.coords)
    for count in args.clips:
        for seed in range(args.seeds):
            few, asked = drawn(store, args.split, count, seed)
            where = {"store": store.path.name, "split": args.split, "clips": count, "seed": seed}
            if key({**where, "way": "base"}) not in known:
                base = kineme.load(own, "cpu").embed(store) if base is None else base
                yield {**where, "way": "base", **scores(store, base, few, asked), "seconds": 0.0}
            for start, steps, rate in args.ways:
                way = {**where, "way": start, "steps": steps, "lr": rate}
                if key(way) in known:
                    continue
                begun = time.thread_time()
                more = {"init": own} if start == "base" else {}
                settings = [*args.set, f"loop.lr={rate}"]
                run = pretrained(store, few, asked, args.out / "run", steps=steps, seed=seed, settings=settings, **more)
                seconds = time.thread_time() - begun
                model = kineme.load(run, "cpu")
                if start == "scratch" and key({**where, "way": "untrained"}) not in known:
                    found = scores(store, model.untrained().embed(store), few, asked)
                    yield {**where, "way": "untrained", **found, "seconds": 0.0}
                yield {**way, **scores(store, model.embed(store), few, asked), "seconds": round(seconds, 1)}


def key(line: dict) -> str:
    """What a line is a figure of."""
    return json.dumps({name: line.get(name) for name in ("store", "split", "clips", "seed", "way", "steps", "lr")})


def table(lines: list[dict]) -> None:
    """Means over seeds, a row for each way, a column for each number of clips."""
    sets = dict.fromkeys((line["store"], line["split"]) for line in lines)
    counts = sorted({line["clips"] for line in lines})
    for store, split in sets:
        here = [line for line in lines if (line["store"], line["split"]) == (store, split)]
        print(f"\n| {store} {split} | " + " | ".join(f"{count} clips" for count in counts) + " | s |")
        print("|---" * (len(counts) + 2) + "|")
        for way in dict.fromkeys((line["way"], line.get("steps"), line.get("lr")) for line in here):
            own = [line for line in here if (line["way"], line.get("steps"), line.get("lr")) == way]
            cells = []
            for count in counts:
                found = [line for line in own if line["clips"] == count]
                means = [f"{np.mean([line[name] for line in found]):.3f}" for name in ("1-NN", "linear") if found]
                cells.append(" / ".join(means) or "-")
            longest = max(line["seconds"] for line in own)
            print(
                "| " + " ".join(str(word) for word in way if word) + " | " + " | ".join(cells) + f" | {longest:.0f} |"
            )


def way(word: str) -> tuple[str, int, float]:
    """`base:100:0.0005`: start, steps, learning rate."""
    start, steps, rate = word.split(":")
    return start, int(steps), float(rate)


def main() -> None:
    """Compute what is missing, and print tables of all that is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", metavar="STORE", help="its name names the set in the table")
    parser.add_argument("split", metavar="SPLIT")
    parser.add_argument("out", metavar="OUT", type=Path)
    parser.add_argument("--clips", type=lambda text: [int(word) for word in text.split(",")], default=[20, 50, 100])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ways", type=way, nargs="+", default=[way("base:200:0.005"), way("scratch:200:0.002")])
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="of the trainings")
    args = parser.parse_args()
    file, store = args.out / "small-data.jsonl", kineme.open(args.store)
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    warnings.simplefilter("ignore")
    args.out.mkdir(parents=True, exist_ok=True)
    known = {key(line) for line in lines}
    for line in figures(args, store, known):
        known.add(key(line))
        lines.append(line)
        with file.open("a") as opened:
            opened.write(json.dumps(line) + "\n")
    table(lines)


if __name__ == "__main__":
    main()
