"""Say what a store, a run or an index holds."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ...utils.errors import InputError
from . import _shared


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("path", metavar="STORE|RUN|INDEX", help="its folder")
    parser.add_argument(
        "--verify", action="store_true", help="read every byte of a store or an index and check it against the card"
    )
    parser.add_argument("--joints", action="store_true", help="the joints of a store, and how they were mapped")


def run(args: argparse.Namespace) -> None:
    """Print the card of a run, or what a store holds."""
    from ...data import store
    from ...utils.files import read_json

    card = read_json(Path(args.path) / "card.json", "a store, a run or an index")
    kind = card.get("kind") if isinstance(card, dict) else None
    if kind == "run":
        for key in ("method", "encoder", "status", "clips", "split", "seed", "seconds", "torch", "device", "kineme"):
            print(f"{key:10} {card.get(key)}")
        for word, origin in card.get("plugins", {}).items():
            print(f"{'plug-in':10} {word}: {origin.get('file') or origin.get('package')}")
        print(f"{'layout':10} {card['layout']['name']}, {card['coords']} coordinates, up to {card['persons']} persons")
        bodies = card.get("size") or {"how": "not said"}
        said = ", ".join(f"{name} {value}" for name, value in bodies.items() if name in ("how", "torso") and value)
        print(f"{'bodies':10} {said.removeprefix('how ')}, up {card.get('up')}")
        print(json.dumps({k: card["recipe"][k] for k in ("method", "encoder", "loop")}, indent=1))
        return
    if kind == "index":
        _index(Path(args.path), args)
        return
    if kind == store.SEVERAL:
        names = [Path(args.path) / str(name) for name in card.get("stores") or ()]
        print(f"{len(names)} stores, one for each kind of motion")
    elif kind == "store":
        names = [Path(args.path)]
    else:
        raise InputError(args.path, f"a card of kind {kind!r}", "a store, a run or an index")
    for name in names:
        _store(name, args)


def _index(path: Path, args: argparse.Namespace) -> None:
    from ...inference.index import Index

    index = Index(path)
    clips, cut, run = len(index.ids()), index.card["windows"], index.card["run"]
    print(f"{path}: {clips} clips and {len(index) - clips} windows, {index.dim} dimensions")
    print(f"run {run['name']}, weights {run['weights'][:12]}, at {run['path']}")
    print(f"windows of {cut['seconds']:g} s every {cut['step']:g} s" if cut else "whole clips only")
    for store in index.card["stores"]:
        print(f"store {store['path']}, hash {store['hash'][:12]}")
    if args.verify:
        index.verify()
        print("verified: every byte as the card says")


def _store(path: Path, args: argparse.Namespace) -> None:
    from ...data import prepare, store

    data = store.open(path)
    found = prepare.report(data)
    if args.joints:
        print(f"{path}: layout {data.layout.name}, {len(data.layout)} joints: {', '.join(data.layout.joints)}")
        print(found.joints())
        return
    print(f"{path}: {found}")
    _shared.print_store(data)
    if args.verify:
        data.verify()
        print("verified: every byte as the card says")
