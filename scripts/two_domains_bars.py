"""The bars of the benchmark of two domains: what pretraining against poses is worth in the other domain.

`python scripts/two_domains.py domains && python scripts/two_domains_bars.py domains bars` trains, for every seed,
P-HLVC and the ablation that contrasts views of the video with each other (as many clip views: half the steps),
fine-tunes both and the same network from scratch on `game`, scores them on the test people of `real` and of `game`, and
adapts the first to the proportions of `real`. Finished trainings and scores are kept: the same command goes on after an
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
from kineme.data.store import Store
from kineme.data.synth.two_domains import SPLIT
from kineme.evaluation import scores
from kineme.evaluation.protocols.cross_domain import ADAPTED, BALANCED, VALIDATION
from kineme.utils import files

METHOD, STEPS, BATCH, VIEWS = "p_hlvc", 1000, 64, 1
WAYS: dict[str, dict[str, Any]] = {
    "pose": {"loop.steps": STEPS},
    "video": {"method.against": "video", "method.views.views": 2 * VIEWS, "loop.steps": STEPS // 2},
}
MILD = {"crop_low": 0.6, "rotate": 5.0, "brightness": 0.4, "hue": 0.1}  # those of the recipe
TUNING = {"epochs": 20, "milestones": (14, 18), "patience": 0, "clips": 4, "video": MILD}
SCRATCH = {**TUNING, "backbone_rate": 1.0}  # weights that nothing has trained have to go farther
ADAPTATION = {"epochs": 5}


def trained(domains: Path, out: Path, way: str, seed: int) -> Path:
    """A finished training."""
    run, started = out / f"{way}-{seed}", time.perf_counter()
    if not (run / "model.safetensors").exists():
        words = {"resume": True} if run.exists() else {"seed": seed, "settings": {"loop.batch": BATCH, **WAYS[way]}}
        kineme.pretrain(METHOD, domains / "pretrain", run, progress=True, **words)
        views = STEPS * BATCH * VIEWS
        print(f"{run}: {views} clip views, {time.perf_counter() - started:.0f} s", flush=True)
    return run


def rows_of(run: Path, store: Store, protocol: str, name: str, **settings: Any) -> scores.Rows:
    """Scores of a run and of its untrained encoder, kept beside it."""
    path = run / f"{name}.json"
    if not path.exists():
        started = time.perf_counter()
        rows = kineme.evaluate(
            run,
            store,
            protocol,
            SPLIT,
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
    for seed in range(seeds):
        for way in WAYS:
            run = trained(domains, out, way, seed)
            adapt = {"adapt": "true", "adaptation": ADAPTATION} if way == "pose" else {}
            found = rows_of(run, real, "cross_domain", "real", training=TUNING, **source, **adapt)
            yield from ((f"{way}{mark}", place, score) for mark, place, score in told(found, "real", scores.TRAINED))
            found = rows_of(run, real, "cross_domain", "real-frozen", training=TUNING, probe="linear", **source)
            yield from ((f"{way}, frozen", place, score) for _, place, score in told(found, "real", scores.TRAINED))
            found = rows_of(run, game, "finetune", "game", training=TUNING)
            yield from ((way, place, score) for _, place, score in told(found, "game", scores.TRAINED))
            if way == "pose":
                found = rows_of(run, real, "cross_domain", "real-scratch", training=SCRATCH, **source)
                yield from (("scratch", place, score) for _, place, score in told(found, "real", scores.UNTRAINED))
                found = rows_of(run, game, "finetune", "game-scratch", training=SCRATCH)
                yield from (("scratch", place, score) for _, place, score in told(found, "game", scores.UNTRAINED))


def told(rows: scores.Rows, place: str, features: str) -> Iterator[tuple[str, str, float]]:
    """Of one kind of features: what was done besides, where, and the score."""
    for row in rows:
        if row["features"] == features and row["metric"] == VALIDATION:
            yield "", "game, held out", row["score"]
        elif row["features"] == features and row["metric"].startswith(BALANCED):
            yield ", adapted" if ADAPTED["true"] in row["metric"] else "", place, row["score"]


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
        print(f"{who:16s} {place:16s} {np.mean(found):.3f} ({np.ptp(found):.3f})  n={len(found)}")
    mean = {key: float(np.mean(found)) for key, found in table.items()}
    pose, scratch = mean["pose", "real"], mean["scratch", "real"]
    for bar, found, least in (
        ("a: above scratch on real", pose - scratch, 0.05),
        ("b: above video against video on real", pose - mean["video", "real"], 0.0),
        ("c: adapted above not adapted on real", mean["pose, adapted", "real"] - pose, 0.0),
        ("d: against scratch on game", mean["pose", "game"] - mean["scratch", "game"], -0.03),
    ):
        print(f"{bar}: {found:+.3f} ({'met' if found > least else 'MISSED'}, bar {least:+.2f})")


if __name__ == "__main__":
    main()
