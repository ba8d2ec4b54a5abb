"""Find movements like one in an index, or in a folder of motion files."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ...utils.errors import InputError
from . import _shared


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument(
        "where",
        metavar="INDEX|FOLDER",
        help="an index, or a folder of motion files or a store: indexed once, kept beside",
    )
    parser.add_argument(
        "query",
        metavar="QUERY",
        nargs="+",
        help="a motion file, an interval of one in seconds (walk.bvh@2.0-4.5), one of its clips (takes.json#NAME), or "
        "the id of a clip of the index; several: like all of them",
    )
    parser.add_argument("--minus", metavar="QUERY", action="append", default=[], help="unlike this (may be repeated)")
    parser.add_argument("-k", type=int, default=10, help="how many (default: %(default)s)")
    parser.add_argument(
        "--where",
        dest="filters",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="only entries of this label, subject or camera (NAME!=VALUE: of all others; VALUE,VALUE: of any), or of "
        "this length in seconds (length=1-4)",
    )
    parser.add_argument(
        "--windows",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="search windows of long recordings, not these as a whole (default: where QUERY is an interval)",
    )
    parser.add_argument("--mirror", action="store_true", help="also what is like QUERY seen in a mirror")
    parser.add_argument("--rerank", action="store_true", help="sort the first hits by their frames, aligned in time")
    parser.add_argument(
        "--run", metavar="RUN", help="of a folder: the run to take (default: base); of an index: its run"
    )
    parser.add_argument("--cache", metavar="FOLDER", help="of a folder: where its index is kept (default: beside it)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--gif", metavar="OUT.gif", help="draw the query and its hits side by side")
    _shared.add_jobs(parser)


def run(args: argparse.Namespace) -> None:
    """Search, print, and draw where asked to."""
    if args.gif and Path(args.gif).suffix.lower() != ".gif":
        raise InputError("--gif", args.gif, "a name that ends with .gif")
    _shared.choose_threads()
    from ...inference import index_files, search

    asked = {} if index_files.is_index(args.where) or (Path(args.where) / "card.json").is_file() else _asked(args)
    searcher = search.opened(args.where, args.run, args.cache, progress=True, **asked)
    answer = searcher.find(
        args.query,
        args.k,
        minus=args.minus,
        filters=_filters(args.filters),
        windows=args.windows,
        mirror=args.mirror,
        rerank=args.rerank,
    )
    if args.gif:
        _draw(searcher, answer, args.gif)
    if args.json:
        found = [hit.to_dict() for hit in answer.hits]
        said = {
            "hits": found,
            "among": answer.among,
            "exact": answer.recall is None,
            "recall": answer.recall,
            "ms": round(answer.milliseconds, 3),
        }
        print(json.dumps({"query": args.query, "minus": args.minus, **said}, indent=1, ensure_ascii=False))
        return
    _print(answer)
    if args.gif:
        print(f"Drawn: {args.gif}")


def _asked(args: argparse.Namespace) -> dict[str, Any]:
    return {"jobs": _shared.jobs(args)}


def _filters(words: list[str]) -> dict[str, Any]:
    """``--where`` as :meth:`kineme.inference.search.Searcher.find` takes it."""
    found: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        unwanted = name.endswith("!")
        name = name.removesuffix("!")
        if not (name and equals and value) or name in found or (unwanted and name == "length"):
            raise InputError(f"--where {word}", "no filter", "NAME=VALUE, NAME!=VALUE or length=1-4, each name once")
        if name == "length":
            low, dash, high = value.partition("-")
            try:
                found[name] = (float(low) if low else None, float(high) if high else None)
            except ValueError:
                dash = ""
            if not dash:
                raise InputError(f"--where {word}", "no range", "seconds such as length=1-4, length=2- or length=-3")
        else:
            values = value.split(",")
            found[name] = {"not": values} if unwanted else values
    return found


def _print(answer: Any) -> None:
    from rich.table import Table

    with_labels = [name for name in ("label", "subject", "camera") if any(getattr(h.entry, name) for h in answer.hits)]
    aligned = any(hit.aligned is not None for hit in answer.hits)
    table = Table("", "clip", "from", "to", "score", *(["aligned"] if aligned else []), *with_labels, "")
    for place, hit in enumerate(answer.hits, 1):
        ends = (
            (f"{s:.2f} s" for s in hit.seconds)
            if hit.seconds
            else (f"frame {at}" for at in (hit.entry.start, hit.entry.end))
        )
        scores = [f"{hit.score:.3f}", *([f"{hit.aligned:.3f}"] if aligned else [])]
        known = [str(getattr(hit.entry, name) or "") for name in with_labels]
        table.add_row(str(place), hit.entry.id, *ends, *scores, *known, "mirrored" if hit.mirrored else "")
    _shared.print_table(table)
    how = "exact" if answer.recall is None else f"approximate (recall {answer.recall:.3f} when it was built)"
    print(f"{len(answer.hits)} of {answer.among}, by cosine of full vectors, {how}, {answer.milliseconds:.1f} ms")


def _draw(searcher: Any, answer: Any, path: str) -> None:
    """The query, if it is a motion, and what was found."""
    from ...viz import strips

    asked = answer.queries[0]
    query = asked.motion
    if query is None and asked.id is not None:
        query = searcher.motion(searcher.index.entries([searcher.index.find(asked.id)])[0])
    motions = [] if query is None else [query.with_(label=f"query: {query.label or asked.text}")]
    for hit in answer.hits:
        found = searcher.motion(hit.entry)
        found = found.mirror() if hit.mirrored else found
        motions.append(found.with_(label=f"{hit.score:.2f} {hit.entry.label or hit.entry.id}"))
    strips.gif([motion for motion in motions if motion.confidence.any()], path)
