"""The command line: parses, calls, prints. Heavy rooms are imported by the verb that needs them."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from ... import __version__
from ...utils.errors import InputError

DESCRIPTION = "Kineme learns what human movements mean, without labels."


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code: 0, 2 for input that cannot be used, 130 after Ctrl-C."""
    args = parser().parse_args(argv)
    try:
        args.verb(args)
        return 0
    except InputError as error:
        return _complain(str(error))
    except KeyboardInterrupt:
        print(
            "\nInterrupted. Nothing finished is lost"
            + (f"; go on with: {args.resume_hint(args)}" if hasattr(args, "resume_hint") else "."),
            file=sys.stderr,
        )
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MemoryError:
        return _complain("Out of memory. Take a smaller batch (--set loop.batch=16) or a smaller store.")
    except OSError as error:
        return _complain(
            f"{error.filename or 'disk'}: {error.strerror or error}. What was there before is untouched; "
            "free some space or check the path, and run the command again."
        )


def _complain(text: str) -> int:
    print(f"kineme: {text}", file=sys.stderr)
    return 2


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    root = argparse.ArgumentParser(prog="kineme", description=DESCRIPTION)
    root.add_argument("--version", action="version", version=f"kineme {__version__}")
    verbs = root.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, text: str, function) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=text, description=text)
        sub.set_defaults(verb=function)
        return sub

    sub = verb("demo", "Make motions, learn from them, score, and show pictures: five minutes, no data needed.", demo)
    sub.add_argument("--out", default="kineme-demo", help="folder to write (default: %(default)s)")
    sub.add_argument("--mine", metavar="FOLDER", help="the same on your own motion files")
    sub.add_argument("--seeds", type=int, default=3, help="how many trainings (default: %(default)s)")
    sub.add_argument("--quick", action="store_true", help="a few seconds instead of minutes; the scores mean nothing")

    sub = verb("prepare", "Turn a folder of motion files into a store.", prepare)
    sub.add_argument("src", metavar="SRC", help="folder or file")
    sub.add_argument("dest", metavar="DEST", help="store to write")
    sub.add_argument("--format", help="take every file as this format (see `kineme methods`)")
    sub.add_argument(
        "--normalise",
        choices=("none", "general", "ntu", "image"),
        help="default: ntu for the ntu25 layout, general for others",
    )
    sub.add_argument(
        "--labels",
        metavar="FILE.csv|folder",
        help="labels from a table, from PKU-MMD label files, or `folder`: each file's folder is its label",
    )
    sub.add_argument("--layout", help="map every clip to this layout")
    sub.add_argument("--map", metavar="FILE", help="TOML or JSON: joint of the layout -> joint of the files")
    sub.add_argument("--jobs", type=int, default=0, help="processes (default: one per core)")
    sub.add_argument("--faithful", action="store_true", help="read as the released code does, quirks included")

    sub = verb("info", "Say what a store or a run holds.", info)
    sub.add_argument("path", metavar="STORE|RUN")
    sub.add_argument("--verify", action="store_true", help="read every byte of a store and check it against the card")

    sub = verb("pretrain", "Train an encoder on a store, without labels.", pretrain)
    sub.add_argument("method", metavar="METHOD", help="see `kineme methods`")
    sub.add_argument("stores", metavar="STORE", nargs="+")
    sub.add_argument("--split", help="only the training part of this split is seen")
    sub.add_argument("--out", metavar="RUN", help="folder to write (default: runs/METHOD-STORE-SEED)")
    sub.add_argument(
        "--recipe",
        metavar="NAME|FILE",
        help="settings; `small` and `published` are always there (default: sized to the store)",
    )
    sub.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="e.g. method.temperature=0.1, encoder.hidden=256, loop.lr=0.05",
    )
    sub.add_argument("--epochs", type=int)
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--layout", help="layout to which several stores are mapped")
    sub.add_argument("--device", help="cpu, cuda, cuda:1 ... (default: CUDA where there is one)")
    sub.add_argument(
        "--init", metavar="RUN", help="begin with the weights, queues and optimisers of a finished run, and its epochs"
    )
    sub.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    sub.add_argument("--tensorboard", action="store_true", help="also write TensorBoard files")
    sub.set_defaults(resume_hint=_resume_hint)

    sub = verb("evaluate", "Score runs on a store, beside the untrained encoder and hand-made features.", evaluate)
    sub.add_argument("runs", metavar="RUN", nargs="+", help="a run, or several joined by commas that count as one")
    sub.add_argument("store", metavar="STORE")
    sub.add_argument("--protocols", default="knn,linear", help="comma-separated (default: %(default)s)")
    sub.add_argument("--split", required=True)
    sub.add_argument("--seeds", type=int, default=1, help="probe seeds (default: %(default)s)")
    sub.add_argument(
        "--probe",
        choices=("logistic", "halp", "cmd", "hico"),
        help="classifier of the protocols that train one (default: logistic)",
    )
    sub.add_argument(
        "--set", action="append", default=[], metavar="PROTOCOL.NAME=VALUE", help="e.g. knn.k=1,5 or linear.C=0.1"
    )
    sub.add_argument("--json", metavar="FILE", help="write every row")

    sub = verb("embed", "Write one vector per clip, or per frame where a run looks at single frames.", embed)
    sub.add_argument("run", metavar="RUN")
    sub.add_argument("store", metavar="STORE|FILES", help="a store, or motion files: prepared as the run's data were")
    sub.add_argument("--out", metavar="FOLDER", required=True)
    sub.add_argument("--map", metavar="PICTURE", help="also draw a map of the vectors, its colours the labels")
    sub.add_argument("--split", help="on the map, clips of the training part are pale")

    sub = verb("import-weights", "Turn a checkpoint of the authors of HaLP, CMD or HiCo into a run.", import_weights)
    sub.add_argument("file", metavar="FILE", help="a .pth.tar file; nothing in it is executed")
    sub.add_argument("--as", dest="kind", choices=("halp", "cmd", "hico"), required=True, help="whose it is")
    sub.add_argument("--out", metavar="RUN", help="folder to write (default: runs/KIND-FILE)")
    sub.add_argument("--layout", default="ntu25", help="joints of its input (default: %(default)s)")
    sub.add_argument("--coords", type=int, default=3, help="coordinates of a joint (default: %(default)s)")
    sub.add_argument(
        "--stream",
        choices=("joint", "bone", "motion"),
        default="joint",
        help="what a file with one encoder was trained on, which it does not say (default: %(default)s)",
    )
    sub.add_argument(
        "--heads", type=int, default=4, help="of a Transformer, which its file does not say (default: %(default)s)"
    )
    sub.add_argument(
        "--normalise",
        choices=("none", "general", "ntu"),
        default="ntu",
        help="how its training data were prepared (default: %(default)s, as published)",
    )

    sub = verb("reproduce", "From raw files to a published figure: prepare, train, score; again to go on.", reproduce)
    sub.add_argument("name", metavar="NAME", help="a recipe with a table [reproduce], e.g. halp_ntu60_xsub")
    sub.add_argument("--raw", metavar="DIR", required=True, help="folder of raw files")
    sub.add_argument("--out", metavar="FOLDER", default="reproduced", help="folder to write (default: %(default)s)")
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--labels", metavar="FOLDER", help="PKU-MMD: folder of label files, where it lies elsewhere")
    sub.add_argument("--device", help="cpu, cuda, cuda:1 ... (default: CUDA where there is one)")
    sub.add_argument("--jobs", type=int, default=0, help="processes that prepare (default: one per core)")
    sub.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="e.g. loop.epochs=3 (every training), reproduce.init_epochs=1, linear.epochs=3",
    )
    sub.set_defaults(resume_hint=_again)

    verb("methods", "List methods, encoders, readers, protocols, layouts and recipes.", methods)
    sub = verb("bench", "Measure speed against plain reference implementations (from a checkout).", bench)
    sub.add_argument("names", nargs="*", help="which parts (default: all)")
    sub.add_argument("--rounds", type=int, default=5)
    sub.add_argument("--published", action="store_true", help="networks of the published size (minutes per round)")
    sub.add_argument("--record", action="store_true", help="keep the ratios, to be compared with later")
    sub.add_argument("--quick", action="store_true", help="tiny sizes: shows that everything runs, measures nothing")
    sub.add_argument("--json", metavar="FILE", help="write the measured rows")
    verb("doctor", "Say what this machine offers: torch, threads, bf16, matmuls, GPU.", doctor)
    return root


def demo(args: argparse.Namespace) -> None:
    from .. import demo as room

    room.run(Path(args.out), mine=args.mine and Path(args.mine), seeds=args.seeds, quick=args.quick)


def prepare(args: argparse.Namespace) -> None:
    from ...data import prepare as room
    from ...utils.progress import Bar

    with Bar("prepare", 0) as bar:

        def report(done: int, total: int, note: str = "") -> None:
            bar.update(done, note, total)

        store = room.prepare(
            args.src,
            args.dest,
            format=args.format,
            normalise=args.normalise,
            labels=args.labels,
            layout=args.layout,
            table=args.map,
            jobs=args.jobs or os.cpu_count() or 1,
            faithful=args.faithful,
            progress=report,
        )
    print(room.report(store))
    _describe_store(store)
    print(f"\nStore written to {args.dest}. Next: kineme pretrain moco {args.dest}")


def info(args: argparse.Namespace) -> None:
    from ...data import prepare as room
    from ...data import store
    from ...utils.files import read_json

    card = read_json(Path(args.path) / "card.json", "a store or a run")
    kind = card.get("kind") if isinstance(card, dict) else None
    if kind == "run":
        for key in ("method", "encoder", "status", "clips", "split", "seed", "seconds", "torch", "device", "kineme"):
            print(f"{key:10} {card.get(key)}")
        print(f"{'layout':10} {card['layout']['name']}, {card['coords']} coordinates, up to {card['persons']} persons")
        print(json.dumps({k: card["recipe"][k] for k in ("method", "encoder", "loop")}, indent=1))
        return
    if kind != "store":
        raise InputError(args.path, f"a card of kind {kind!r}", "a store or a run")
    data = store.open(args.path)
    print(room.report(data))
    _describe_store(data)
    if args.verify:
        data.verify()
        print("verified: every byte as the card says")


def _describe_store(data) -> None:
    from ...data import splits

    card = data.card
    print(
        f"layout {data.layout.name} ({len(data.layout)} joints), {data.coords} coordinates, "
        f"up to {data.persons} persons"
    )
    print(
        f"up {card.get('up')}, unit {card.get('unit')}, normalised: {card['normalise'].get('how')}, "
        f"hash {data.hash[:12]}"
    )
    print(f"columns: {', '.join(data.clips.column_names)}")
    labels = [x for x in data.column("label") if x is not None]
    if labels:
        counts = {name: labels.count(name) for name in sorted(set(labels))}
        shown = ", ".join(f"{name} {count}" for name, count in list(counts.items())[:24])
        print(f"labels ({len(counts)}): {shown}{' ...' if len(counts) > 24 else ''}")
    print(f"splits: {', '.join(splits.names(data))}")


def pretrain(args: argparse.Namespace) -> None:
    from ...training import loop

    run = loop.pretrain(
        args.method,
        args.stores,
        args.out,
        epochs=args.epochs,
        seed=args.seed,
        split=args.split,
        recipe=args.recipe,
        settings=args.set,
        layout=args.layout,
        init=args.init,
        resume=args.resume,
        device=args.device,
        tensorboard=args.tensorboard,
        progress=True,
    )
    if int(os.environ.get("RANK", 0)) == 0:
        lines = (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
        if lines:
            first, last = json.loads(lines[0]), json.loads(lines[-1])
            print(f"loss {first['loss']:.4f} -> {last['loss']:.4f} over {len(lines)} epochs")
        print(f"Run written to {run}. Next: kineme evaluate {run} {args.stores[0]} --split {args.split or 'NAME'}")


def _resume_hint(args: argparse.Namespace) -> str:
    out = args.out or f"runs/{args.method}-{'+'.join(Path(s).name for s in args.stores)}-{args.seed}"
    return f"kineme pretrain {args.method} {' '.join(args.stores)} --out {out} --seed {args.seed} --resume"


def evaluate(args: argparse.Namespace) -> None:
    from rich.console import Console

    from ...data import store
    from ...evaluation import scores
    from ...evaluation.run import evaluate as score
    from ...inference import ensemble
    from ...utils import registry, settings
    from ...utils.files import write_json

    protocols = [p.strip() for p in args.protocols.split(",") if p.strip()]
    probed = [
        p for p in protocols if args.probe and hasattr(registry.load("evaluation.protocols", p).Settings, "probe")
    ]
    if args.probe and not probed:
        raise InputError("--probe", "no protocol that trains a classifier", "one, for example --protocols linear")
    chosen = settings.override({}, args.set + [f"{name}.probe={args.probe}" for name in probed])
    rows = score(
        [ensemble.load_any(run) for run in args.runs],
        store.open(args.store),
        protocols,
        args.split,
        seeds=args.seeds,
        settings=chosen,
        progress=True,
    )
    Console(width=None if sys.stdout.isatty() else 140).print(scores.table(rows))
    if args.json:
        write_json(args.json, rows)
        print(f"Rows written to {args.json}")


def embed(args: argparse.Namespace) -> None:
    import numpy as np

    from ...data import splits, store
    from ...inference import model as room
    from ...inference.embed import write

    model = room.load(args.run)
    out = write(model, args.store, args.out, progress=True)
    print(f"{model.dim} numbers for each clip in {out}/Z.npy, clips in the same order in {out}/clips.parquet")
    if (out / "codes.npy").exists():
        print(f"One code for each frame in {out}/codes.npy, where each clip's begin in {out}/offsets.npy")
    if args.map:
        from ...viz import plots

        clips = store.open(out / "store" if (out / "store").exists() else args.store)
        part = splits.split(clips, args.split) if args.split else None
        pale = np.isin(np.arange(len(clips)), part.train) if part else None
        title = f"{model.card['method']}, {clips.path.name}" + (f"; pale: training part of {part.name}" if part else "")
        plots.embedding_map(plots.tsne(np.load(out / "Z.npy")), clips.column("label").tolist(), args.map, title, pale)
        print(f"Map drawn: {args.map}")


def import_weights(args: argparse.Namespace) -> None:
    from ...training import import_weights as weights

    run = weights.import_weights(
        args.file,
        args.kind,
        args.out,
        layout=args.layout,
        coords=args.coords,
        stream=args.stream,
        heads=args.heads,
        normalise=args.normalise,
    )
    print(weights.report(run))
    print(f"Run written to {run}. Next: kineme evaluate {run} STORE --split NAME")


def reproduce(args: argparse.Namespace) -> None:
    from rich.console import Console

    from ...evaluation import reproduce as room

    result = room.reproduce(
        args.name,
        args.raw,
        args.out,
        seed=args.seed,
        settings=args.set,
        labels=args.labels,
        device=args.device,
        jobs=args.jobs or os.cpu_count() or 1,
        progress=True,
    )
    Console(width=None if sys.stdout.isatty() else 140).print(room.table(result))
    print(f"Figures written to {Path(args.out) / result['recipe']}-s{result['seed']}.json")


def _again(args: argparse.Namespace) -> str:
    words = ["kineme", "reproduce", args.name, "--raw", args.raw, "--out", args.out, "--seed", str(args.seed)]
    more = {"--labels": [args.labels], "--device": [args.device], "--set": args.set}
    pairs = [(flag, value) for flag, values in more.items() for value in values if value]
    return shlex.join([*words, *(word for pair in pairs for word in pair)])


def methods(args: argparse.Namespace) -> None:
    import tomllib

    from ...training import recipe
    from ...utils import registry

    for room in ("methods", "encoders", "io", "evaluation.protocols"):
        print(f"{registry.KINDS[room].word}s:")
        for name, text in registry.names(room).items():
            print(f"  {name:14} {text}")
    layouts = tomllib.loads((registry.ROOT / "motion" / "layouts.toml").read_text(encoding="utf-8"))  # without NumPy
    print("layouts:\n  " + " ".join(layouts["layout"]))
    print("recipes:\n  " + " ".join(["small", "published", *recipe.known()]))


def bench(args: argparse.Namespace) -> None:
    folder = Path(__file__).parents[4] / "bench"
    if not (folder / "run.py").is_file():
        raise InputError(
            "kineme bench",
            "no bench folder beside this installation",
            "a checkout of the project",
            "Clone it and run `make bench`",
        )
    sys.path.insert(0, str(folder))
    from run import main as measure  # type: ignore[import-not-found]

    words = [f"--{name}" for name in ("published", "record", "quick") if getattr(args, name)]
    if args.json:
        words += ["--json", args.json]
    if measure([*args.names, "--rounds", str(args.rounds), *words]):
        raise InputError("kineme bench", "a result beyond its bound from the reference (in red)", "equal results")


def doctor(args: argparse.Namespace) -> None:
    from ...utils import hardware

    found = hardware.describe()
    for name, value in found.items():
        print(f"{name:{max(map(len, found))}}  {value}")


if __name__ == "__main__":
    sys.exit(main())
