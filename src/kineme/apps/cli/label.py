"""Make a recogniser of a few labelled clips: classes of your own on a run's vectors."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import _shared

if TYPE_CHECKING:
    from ...inference.recogniser import Recogniser

HELD_OUT = {
    "subject": "other people",
    "performance": "other performances",
    "source": "other recordings",
    "clip": "other clips, perhaps of the same people",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("run", metavar="RUN", help="a run, or `base`, the weights that come along")
    parser.add_argument("store", metavar="STORE", help="the clips, of `kineme prepare`; most need no label")
    parser.add_argument(
        "labels",
        metavar="LABELS.csv",
        help="columns id (or file, or source) and label, perhaps start and end in frames; five clips of each class "
        "suffice, rows without a label are passed over",
    )
    parser.add_argument("--out", metavar="FOLDER", required=True, help="the recogniser to write")
    parser.add_argument(
        "--threshold",
        type=float,
        help="answers of less confidence are `unknown` (default: what nine of ten right answers have, held out)",
    )
    _shared.add_device(parser)


def run(args: argparse.Namespace) -> None:
    """Teach, score beside the baselines, write."""
    _shared.choose_threads()
    from ...data import store
    from ...evaluation import few_labels
    from ...inference.recogniser import Recogniser
    from ...utils import files
    from ...utils.progress import Bar

    files.unused(args.out)
    clips = store.open(args.store)
    recogniser = Recogniser.teach(args.run, clips, args.labels, args.threshold, args.device, progress=True)
    with Bar("hand-crafted features", 0) as bar:
        rows = few_labels.scores(recogniser, clips, lambda form: bar.update(0, form))
    recogniser.card["scores"] = rows
    print(_said(recogniser, rows))
    out = recogniser.save(args.out)
    print(f"Recogniser written: {out}. Next: {_shared.command_line(args, 'predict', out, 'FILE...')}")


def _said(recogniser: Recogniser, rows: Sequence[dict[str, Any]]) -> str:
    """What was learned, how good it is on examples held out, and when it says that it does not know."""
    card = recogniser.card
    counts, held, window = card["examples"].values(), card["held_out"], card["window"]
    each = f"{min(counts)}" if len(set(counts)) == 1 else f"{min(counts)} to {max(counts)}"
    lines = [f"{sum(counts)} examples of {len(counts)} classes, {each} of each: {', '.join(card['classes'])}"]
    lines.append(f"right of {held['examples']} examples held out, each learned from {HELD_OUT[held['by']]}:")
    for row in rows:
        name = f"{row['features']} ({row['form']}, best of {len(row['forms'])})" if "form" in row else row["features"]
        lines.append(f"  {row['score']:.2f} ({row['low']:.2f} to {row['high']:.2f})  {row['right']:4}  {name}")
    trained, *others = rows
    lines += [f"It does NOT beat: {row['features']}" for row in others if trained["score"] <= row["score"]]
    lines.append(
        f"unknown: below a confidence of {card['threshold']:.2f}, which keeps {held['kept']:.0%} of the right answers "
        f"and turns away about {held['turned_away']:.0%} of clips of other classes"
    )
    lasts = f"{window['seconds']:.2g} s" if window["seconds"] else f"{window['frames']} frames"
    lines.append(f"long recordings: in windows of {lasts}, as long as the median example")
    return "\n".join(lines)
