"""Write one vector per clip, or per frame where a run looks at single frames."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from ...utils.errors import InputError
from . import _shared

TABLES, PICTURES = (".toml", ".json"), (".png", ".svg", ".pdf")


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("run", metavar="RUN", help="a run, or a folder of imported weights")
    parser.add_argument(
        "files",
        metavar="STORE|FILES",
        nargs="*",
        help="a store, or files and folders of motion: prepared as the run's data were, joints mapped by name; for a "
        "run that looks at pictures also videos, with --poses or without",
    )
    parser.add_argument("--out", metavar="FOLDER", required=True, help="folder to write")
    parser.add_argument(
        "--map",
        metavar="FILE",
        action="append",
        default=[],
        help="a picture (.png, .svg, .pdf): also draw a map of the vectors, its colours the labels; or, as in "
        "`kineme prepare`, TOML or JSON: joint of the run -> joint of the files (may be given twice)",
    )
    _shared.add_preparation(parser)
    _shared.add_poses(parser)
    _shared.add_windows(parser)
    _shared.add_ray(parser)
    parser.add_argument("--split", help="on the map, clips of the training part are pale")


def run(args: argparse.Namespace) -> None:
    """Embed, write, and draw where asked to."""
    address = _shared.ray(args)
    _shared.choose_threads()
    tables = [path for path in args.map if Path(path).suffix.lower() in TABLES]
    pictures = [path for path in args.map if path not in tables]
    wrong = next((path for path in pictures if Path(path).suffix.lower() not in PICTURES), None)
    if wrong is not None or max(len(tables), len(pictures)) > 1:
        expected = f"one picture ({', '.join(PICTURES)}), one table of joints ({', '.join(TABLES)}), or one of each"
        raise InputError("--map", wrong or ", ".join(args.map), expected)

    from ...data import report, store
    from ...inference import model as models
    from ...inference.embed import write

    data = [*args.files, *([] if args.data is None else [args.data])]
    model = models.load(args.run, "cpu" if address else None)
    out = write(
        model,
        data,
        args.out,
        progress=True,
        table=tables[0] if tables else None,
        poses=args.poses,
        window=args.window,
        step=args.step,
        fps=args.fps,
        ray=address,
        **_shared.preparation(args),
    )
    made = store.open(out / "store") if (out / "store").exists() else None
    if made is not None:
        said = report.report(made)
        print(said.read(), said.joints(), sep="\n")
    print(f"One vector of {model.dim} dimensions for each clip in {out}/Z.npy, in the order of {out}/clips.parquet")
    if (out / "codes.npy").exists():
        print(f"One code for each frame in {out}/codes.npy; each clip's first row is in {out}/offsets.npy")
    if pictures:
        try:
            _draw(made or store.open(data[0]), out, pictures[0], args.split, model.card["method"])
        except BaseException:
            shutil.rmtree(out)  # so that the same command can be given again
            raise
        print(f"Map drawn: {pictures[0]}")


def _draw(clips, out: Path, picture: str, split: str | None, method: str) -> None:  # type: ignore[no-untyped-def]
    import numpy as np

    from ...data import splits
    from ...viz import plots

    part = splits.split(clips, split) if split else None
    for note in part.notes if part else ():
        print(note)
    pale = np.isin(np.arange(len(clips)), part.train) if part else None
    title = f"{method}, {clips.path.name}" + (f"; pale: training part of {part.name}" if part else "")
    plots.embedding_map(plots.tsne(np.load(out / "Z.npy")), clips.column("label").tolist(), picture, title, pale)
