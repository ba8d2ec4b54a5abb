"""Write one vector per clip, or per frame where a run looks at single frames."""

from __future__ import annotations

import argparse

from . import _shared


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("run", metavar="RUN", help="a run, or a folder of imported weights")
    parser.add_argument(
        "store", metavar="STORE|FILES", help="a store, or motion files: prepared as the run's data were"
    )
    parser.add_argument("--out", metavar="FOLDER", required=True, help="folder to write")
    parser.add_argument("--map", metavar="PICTURE", help="also draw a map of the vectors, its colours the labels")
    parser.add_argument("--split", help="on the map, clips of the training part are pale")


def run(args: argparse.Namespace) -> None:
    """Embed, write, and draw where asked to."""
    _shared.choose_threads()
    import numpy as np

    from ...data import splits, store
    from ...inference import model as models
    from ...inference.embed import write

    model = models.load(args.run)
    out = write(model, args.store, args.out, progress=True)
    print(f"One vector of {model.dim} dimensions for each clip in {out}/Z.npy, in the order of {out}/clips.parquet")
    if (out / "codes.npy").exists():
        print(f"One code for each frame in {out}/codes.npy; each clip's first row is in {out}/offsets.npy")
    if args.map:
        from ...viz import plots

        clips = store.open(out / "store" if (out / "store").exists() else args.store)
        part = splits.split(clips, args.split) if args.split else None
        for note in part.notes if part else ():
            print(note)
        pale = np.isin(np.arange(len(clips)), part.train) if part else None
        title = f"{model.card['method']}, {clips.path.name}" + (f"; pale: training part of {part.name}" if part else "")
        plots.embedding_map(plots.tsne(np.load(out / "Z.npy")), clips.column("label").tolist(), args.map, title, pale)
        print(f"Map drawn: {args.map}")
