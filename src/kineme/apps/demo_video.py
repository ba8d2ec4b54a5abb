"""P-HLVC in five minutes: motions are drawn as video in two domains, a video encoder learns from poses without labels,
a classifier on it is trained in one domain and scored in the other, beside its untrained self.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from ..data.splits import Split
from ..data.store import Store
from ..data.synth import two_domains
from ..data.synth.two_domains import CLASSES, OTHERS, Size
from ..evaluation import scores
from ..evaluation.protocols.cross_domain import BALANCED
from ..evaluation.run import evaluate
from ..inference import model as embed
from ..inference.nearest import neighbours
from ..training import loop
from ..utils import files, settings, threads
from ..utils.errors import InputError
from ..utils.progress import Bar
from ..viz import videos
from .demo import DEFAULT, Steps, free, made_with

DATA_SEED = 0  # of motions and pictures
SIZE = Size(pretrain=240, people=4, repetitions=4, common=1, rarest=1.0, side=40, fps=12.0)
QUICK_SIZE = Size(pretrain=6, people=2, repetitions=1, common=1, rarest=1.0, side=32, fps=12.0)

METHOD, PROTOCOL = "p_hlvc", "cross_domain"
STEPS, QUICK_STEPS = 500, 2
# Eight pictures of two seconds, varied less than in a long training. So few steps are hardly enough for prototypes:
# NT-Xent stands alone for most of them.
VIEWS = {"crop_low": 0.6, "rotate": 5.0, "brightness": 0.4, "hue": 0.1}
LEARNING: dict[str, Any] = {
    "method": {
        "views": {"frames": 8, "step": 3, "views": 1, **VIEWS},
        "pose": {"distances": (2, 4)},
        "contrast": 0.8,
        "frozen": 10,
        "queue_start": 400,
    },
    "encoder": {"multiplier": 0.25, "momentum": 0.1},
    "loop": {"batch": 32, "lr": 0.002},
}
# The classifier alone: from 112 labelled clips a video network as a whole learns what they look like.
TUNING: dict[str, Any] = {
    "epochs": 60,
    "lr": 0.01,
    "milestones": (40,),
    "weight_decay": 1e-4,
    "dropout": 0.2,
    "patience": 0,
    "clips": 2,
    "video": VIEWS,
}
QUICK_EPOCHS = 1
RETRIEVAL = (1, 5)
NEARER = "cosine above others"  # in the log; losses of NT-Xent and of prototypes cannot be compared

QUERIES, FRAMES, WIDTH = 4, 8, 960  # clips that are asked for, pictures of each, pixels of the page
NEXT = """\
For your own videos with poses (docs/data.md says which pose files are read):

  kineme prepare my_videos/ my_store/ --poses my_poses/
  kineme pretrain p_hlvc my_store/ --out my_run/
  kineme evaluate my_run/ target_store/ --protocols cross_domain --source labelled_store/"""


def run(
    out: str | Path = DEFAULT, seeds: int = 1, quick: bool = False, jobs: int | None = None, serve: bool = False
) -> Path:
    """The whole demo; it says what it does, plainly whether pretraining won, and how to look at it in the browser.

    Args:
        out: folder to write. It must not exist; where the default one does, ``kineme-demo-2`` and so on is taken.
        seeds: how many training runs, with seeds 0, 1, ...
        quick: seconds instead of minutes, one training; the scores mean nothing.
        jobs: processes that draw; by default one for every core.
        serve: show `real` by the first encoder in the browser, until Ctrl-C.

    Returns:
        The folder: stores ``pretrain``, ``game`` and ``real``, ``runs/seed-0`` and so on, ``pictures/across.png``,
        ``result.json``. After Ctrl-C it holds what is finished.

    Raises:
        InputError: the folder exists, ``seeds`` below 1.

    Examples:
        >>> kineme.apps.demo_video.run("demo", quick=True)  # doctest: +SKIP
    """
    if seeds < 1:
        raise InputError("--seeds", f"{seeds} training runs", "1 or more")
    demo = VideoDemo(free(Path(out)), 1 if quick else seeds, quick)
    demo.draw(jobs or threads.usable())
    demo.learn()
    demo.look(demo.stores["real"], serve)
    return demo.out


class VideoDemo(Steps):
    """One demo under way."""

    def __init__(self, out: Path, seeds: int, quick: bool):
        super().__init__(out, seeds, quick)
        self.stores: dict[str, Store] = {}
        self.rows: list[scores.Row] = []
        self.note = "--quick: a few steps on a few clips. These scores mean nothing." if quick else ""
        self.size = QUICK_SIZE if quick else SIZE
        self.settings = {
            **settings.flat(LEARNING),
            "method.views.size": self.size.side,
            "loop.steps": QUICK_STEPS if quick else STEPS,
            **({"loop.batch": 4} if quick else {}),
        }
        tuning = {**TUNING, **({"epochs": QUICK_EPOCHS} if quick else {})}
        source = str(out / "game")
        self.protocol = {"source": source, "probe": "linear", "retrieval": RETRIEVAL, "training": tuning}

    def draw(self, jobs: int) -> None:
        """Make the motions and draw them, in both domains."""
        side, fps = self.size.side, self.size.fps
        text = f"Drawing motions as video in two domains, {side} x {side} pixels, {fps:g} frames per second"
        with self.step("draw", f"{text} (seed {DATA_SEED})", bar=True) as said, Bar("draw", 0) as bar:
            self.stores = two_domains.write(
                self.out,
                self.size,
                DATA_SEED,
                jobs=jobs,
                progress=lambda done, total, note: bar.update(done, note, total),
            )
            said.append(f"{sum(len(store.frames) for store in self.stores.values())} pictures")
        pretrain, game, real = (len(self.stores[name]) for name in ("pretrain", "game", "real"))
        print(
            f"  pretrain: {pretrain} clips of {len(OTHERS)} other kinds of motion, half in either domain, no labels\n"
            f"  game: {game} clips of {len(CLASSES)} classes, plain rooms and bodies\n"
            f"  real: {real} clips of the same classes by other people, clutter, other light, a camera that shakes",
            flush=True,
        )

    def learn(self) -> None:
        """Pretrain, score after each training, draw, and say what came of it."""
        models = []
        for seed in range(self.seeds):
            with self.step("pretrain", f"Pretraining {METHOD}, seed {seed}, on `pretrain`", bar=True) as said:
                path = loop.pretrain(
                    METHOD,
                    self.stores["pretrain"],
                    self.out / "runs" / f"seed-{seed}",
                    seed=seed,
                    settings=self.settings,
                    progress=True,
                )
                logged = [json.loads(line)[NEARER] for line in (path / "log.jsonl").read_text().splitlines()]
                said.append(f"a clip is nearer to its own poses than to others by {logged[0]:.3f} -> {logged[-1]:.3f}")
            models.append(embed.load(path))
            self._score(models[-1])
            self._write(finished=False)
        with self.step("picture", f"Drawing neighbours across the domains: {self.picture}"):
            draw_neighbours(models[0], self.stores["game"], self.stores["real"], self.picture)
        self._write(finished=True)
        self._report()

    @property
    def picture(self) -> Path:
        """What is drawn."""
        return self.out / "pictures" / "across.png"

    def _score(self, model: embed.Model) -> None:
        """A classifier learns from ``game`` and is scored on all of ``real``: nothing was trained on any clip of it."""
        real = self.stores["real"]
        everything = Split("all", np.arange(len(real)), np.arange(len(real)))
        with self.step(
            "score", "  Classifying by `game`, scoring on `real`, pretrained and untrained", bar=True
        ) as said:
            rows = evaluate(
                model,
                real,
                PROTOCOL,
                everything,
                settings={PROTOCOL: self.protocol},
                baseline=not self.rows,
                progress=True,
            )
            self.rows += rows
            found = {row["features"]: row["score"] for row in rows if row["metric"] == BALANCED}
            said.append(
                f"balanced accuracy {found[scores.TRAINED]:.3f}, without pretraining {found[scores.UNTRAINED]:.3f}"
            )

    def _report(self) -> None:
        table = scores.table(self.rows)
        table.title = f"{self.note}\n{table.title}" if self.note else table.title
        print()
        Console(width=None if sys.stdout.isatty() else 140).print(table)
        print(f"{verdict(self.rows)} {self.note}".rstrip())
        print(
            f"\n{self.took:.0f} s in all. Picture: {self.picture}, scores: {self.out}/result.json, "
            f"encoders: {self.out}/runs.\n\n{NEXT}"
        )

    def _write(self, finished: bool) -> None:
        """``result.json`` as far as the demo has come."""
        files.write_json(
            self.out / "result.json",
            {
                "kind": "demo of videos",
                "finished": finished,
                "quick": self.quick,
                "note": self.note,
                "seeds": {"data": DATA_SEED, "training": list(range(self.seeds))},
                "rows": self.rows,
                "means": scores.summary(self.rows),
                "verdict": verdict(self.rows),
                "settings": {"method": METHOD, "set": self.settings, "protocols": {PROTOCOL: self.protocol}},
                "stores": {
                    name: {"hash": store.hash, "clips": len(store), "frames": len(store.frames)}
                    for name, store in self.stores.items()
                },
                "seconds": self.rounded(),
                **made_with(),
            },
        )


def draw_neighbours(model: embed.Model, game: Store, real: Store, picture: Path) -> None:
    """Clips of ``real``, drawn at random, each above its nearest clip of ``game`` by vectors that no label has shaped,
    after pretraining and before.
    """
    labels = {store: store.column("label").astype(str) for store in (game, real)}
    queries = np.sort(np.random.default_rng(DATA_SEED).permutation(len(real))[:QUERIES])
    nearest = {
        who: neighbours(encoder.embed(game), encoder.embed(real, rows=queries), 1)[:, 0]
        for who, encoder in (("pretrained", model), ("untrained", model.untrained()))
    }
    rows: list[tuple[str, Store, int]] = []
    for k, query in enumerate(queries.tolist()):
        label = labels[real][query]
        rows.append((f"real: {label}", real, query))
        for who, hits in nearest.items():
            hit = int(hits[k])
            other = labels[game][hit]
            mark = "the same" if other == label else "another class"
            rows.append((f"    nearest in game, {who}: {other} ({mark})", game, hit))
    side = real.pictures([0])[0].shape[0]
    videos.sheet(rows, picture, FRAMES, WIDTH / (FRAMES * side))


def verdict(rows: Sequence[scores.Row]) -> str:
    """In a sentence or two whether pretraining won, and whether the video says more than its poses by themselves."""
    means = {mean["features"]: mean for mean in scores.summary(rows) if mean["metric"] == BALANCED}
    mine, other = means[scores.TRAINED], means[scores.UNTRAINED]
    gain, spread = mine["mean"] - other["mean"], max(mine["spread"], other["spread"])
    figures = (
        f"balanced accuracy on `real` is {mine['mean']:.3f} after it and {other['mean']:.3f} without it "
        f"({mine['test']} clips, chance {1 / mine['classes']:.3f})"
    )
    said = [f"Pretraining {'won' if gain > spread else 'did NOT win'}: {figures}."]
    if mine["n"] == 1:
        said.append("One training has no spread: more --seeds tell whether that is chance.")
    elif 0 < gain <= spread:
        said.append(f"The gain is not more than the spread of the trainings, {spread:.3f}.")
    if hand := means.get(scores.HAND_CRAFTED):
        said.append(f"Logistic regression on the poses alone reaches {hand['mean']:.3f}.")
    return " ".join(said)
