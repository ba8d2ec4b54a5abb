"""The bars of the benchmark of two domains: what pretraining against poses is worth in the other domain.

`python scripts/two_domains.py domains && python scripts/two_domains_bars.py domains bars` trains, for every seed,
P-HLVC and the ablation that contrasts views of the video with each other (as many clip views: half the steps),
fine-tunes both and the same network from scratch on `game`, and scores them on the test people of `real` and of `game`.
The classifier on the frozen vectors of the first is adapted to the imbalanced clips of `real` and scored on them, their
labels unseen until then. Finished trainings and scores are kept: the same command goes on after an
interruption.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import kineme
from kineme.data import splits
from kineme.data.splits import Split
from kineme.data.store import Store
from kineme.data.synth.two_domains import SPLIT
from kineme.evaluation import scores
from kineme.evaluation.protocols.cross_domain import ADAPTED, BALANCED, TOP, VALIDATION
from kineme.utils import files

METHOD, STEPS, BATCH, VIEWS = "p_hlvc", 1000, 64, 1
WAYS: dict[str, dict[str, Any]] = {
    "pose": {"loop.steps": STEPS},
    "video": {"method.against": "video", "method.views.views": 2 * VIEWS, "loop.steps": STEPS // 2},
}
MILD = {"crop_low": 0.6, "rotate": 5.0, "brightness": 0.4, "hue": 0.1}  # those of the recipe
TUNING = {"epochs": 20, "milestones": (14, 18), "patience": 0, "clips": 4, "video": MILD}
SCRATCH = {**TUNING, "backbone_rate": 1.0}  # weights that nothing has trained have to go farther
ADAPTATION = {"adapt": "true", "adaptation": {"epochs": 5}}


def trained(domains: Path, out: Path, way: str, seed: int) -> Path:
    """A finished training."""
    run, started = out / f"{way}-{seed}", time.perf_counter()
    if not (run / "model.safetensors").exists():
        words = {"resume": True} if run.exists() else {"seed": seed, "settings": {"loop.batch": BATCH, **WAYS[way]}}
        kineme.pretrain(METHOD, domains / "pretrain", run, progress=True, **words)
        views = STEPS * BATCH * VIEWS
        print(f"{run}: {views} clip views, {time.perf_counter() - started:.0f} s", flush=True)
    return run


def rows_of(
    run: Path, store: Store, protocol: str, name: str, split: str | Split = SPLIT, **settings: Any
) -> scores.Rows:
    """Scores of a run and of its untrained encoder, kept beside it."""
    path = run / f"{name}.json"
    if not path.exists():
        started = time.perf_counter()
        rows = kineme.evaluate(
            run,
            store,
            protocol,
            split,
            settings={protocol: settings},
            untrained=name.endswith("scratch"),
            baseline=False,
            progress=True,
        )
        files.write_json(path, {"rows": rows, "seconds": time.perf_counter() - started})
    return json.loads(path.read_text())["rows"]


def figures(domains: Path, out: Path, seeds: int) -> Iterator[tuple[str, str, float]]:
    """What was scored, in which domain, and the balanced accuracy; one for every seed."""
    game, real = Store(domains / "game"), Store(domains / "real")
    source = {"source": str(game.path), "source_split": SPLIT, "retrieval": (1,)}
    to_adapt_to = splits.split(real, SPLIT).train
    uneven = Split("imbalanced", to_adapt_to, to_adapt_to)
    for seed in range(seeds):
        for way in WAYS:
            run = trained(domains, out, way, seed)
            found = rows_of(run, real, "cross_domain", "real", training=TUNING, **source)
            yield from ((way, place, score) for _, place, score in told(found, "real", scores.TRAINED))
            frozen = {"training": TUNING, "probe": "linear", **source}
            found = rows_of(run, real, "cross_domain", "real-frozen", **frozen)
            yield from ((f"{way}, frozen", place, score) for _, place, score in told(found, "real", scores.TRAINED))
            found = rows_of(run, game, "finetune", "game", training=TUNING)
            yield from ((way, place, score) for _, place, score in told(found, "game", scores.TRAINED))
            if way == "pose":
                found = rows_of(run, real, "cross_domain", "real-imbalanced", uneven, **frozen, **ADAPTATION)
                for mark, place, score in told(found, "real, imbalanced", scores.TRAINED, (TOP, BALANCED)):
                    yield f"{way}, frozen{mark}", place, score
                found = rows_of(run, real, "cross_domain", "real-scratch", training=SCRATCH, **source)
                yield from (("scratch", place, score) for _, place, score in told(found, "real", scores.UNTRAINED))
                found = rows_of(run, game, "finetune", "game-scratch", training=SCRATCH)
                yield from (("scratch", place, score) for _, place, score in told(found, "game", scores.UNTRAINED))


def told(
    rows: scores.Rows, place: str, features: str, metrics: tuple[str, ...] = (BALANCED, VALIDATION)
) -> Iterator[tuple[str, str, float]]:
    """Of one kind of features: what was done besides, where (and by which metric, if not balanced), and the score."""
    for row in rows:
        metric, _, mark = row["metric"].partition(", ")
        if row["features"] == features and metric in metrics:
            where = {BALANCED: place, VALIDATION: "game, held out"}.get(metric, f"{place}, {metric}")
            yield ", adapted" if mark == ADAPTED["true"] else "", where, row["score"]


def main() -> None:
    """Train, score, and print the table and the bars."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("domains", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    table: dict[tuple[str, str], list[float]] = {}
    for who, place, score in figures(args.domains, args.out, args.seeds):
        table.setdefault((who, place), []).append(score)
    for (who, place), found in table.items():
        print(f"{who:24s} {place:24s} {np.mean(found):.3f} ({np.ptp(found):.3f})  n={len(found)}")
    mean = {key: float(np.mean(found)) for key, found in table.items()}
    pose, scratch = mean["pose", "real"], mean["scratch", "real"]
    uneven = [mean[f"pose, frozen{mark}", f"real, imbalanced, {TOP}"] for mark in ("", ", adapted")]
    for bar, found, least in (
        ("a: above scratch on real", pose - scratch, 0.05),
        ("b: above video against video on real", pose - mean["video", "real"], 0.0),
        ("c: adapted above not adapted on real, imbalanced, top-1", uneven[1] - uneven[0], 0.0),
        ("d: against scratch on game", mean["pose", "game"] - mean["scratch", "game"], -0.03),
    ):
        print(f"{bar}: {found:+.3f} ({'met' if found > least else 'MISSED'}, bar {least:+.2f})")


if __name__ == "__main__":
    main()
