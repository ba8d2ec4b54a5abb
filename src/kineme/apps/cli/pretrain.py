"""Train an encoder on a store, without labels."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from . import _shared


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("method", metavar="METHOD", help="see `kineme methods`")
    parser.add_argument("stores", metavar="STORE", nargs="+", help="one, or several of one layout (or with --layout)")
    parser.add_argument("--split", help="only the training part of this split is seen")
    parser.add_argument("--out", metavar="RUN", help="folder to write (default: runs/METHOD-STORE-SEED)")
    parser.add_argument(
        "--recipe",
        metavar="NAME|FILE",
        help="settings; `small` and `published` are always there (default: sized to the store)",
    )
    _shared.add_set(parser, "NAME=VALUE", "method.temperature=0.1, encoder.hidden=256, loop.lr=0.05")
    parser.add_argument("--epochs", type=int, help="how often every clip is seen (default: the recipe's length)")
    parser.add_argument("--steps", type=int, help="how many batches are seen, in place of --epochs")
    parser.add_argument("--seed", type=int, help="of weights, order and views (default: 0)")
    parser.add_argument("--layout", help="layout to which several stores are mapped")
    _shared.add_device(parser)
    parser.add_argument(
        "--init",
        metavar="RUN|base",
        help="begin with the encoder of a finished run, or with weights that come with Kineme; clips are mapped to "
        "what it takes",
    )
    parser.add_argument(
        "--init-from",
        metavar="RUN",
        help="go on from a finished run: weights, queues and optimisers; its epochs count",
    )
    parser.add_argument(
        "--init-video",
        metavar="FILE",
        help="published weights with which a video encoder begins (torchvision's s3d, r2plus1d_18)",
    )
    parser.add_argument("--resume", action="store_true", help="resume an interrupted run, bit for bit")
    parser.add_argument("--tensorboard", action="store_true", help="also write TensorBoard files")


def run(args: argparse.Namespace) -> None:
    """Train, and say how far the loss fell."""
    _shared.choose_threads(_folder(args) if args.resume else None)
    from ...training import log, loop

    out = loop.pretrain(
        args.method,
        args.stores,
        args.out,
        epochs=args.epochs,
        steps=args.steps,
        seed=args.seed,
        split=args.split,
        recipe=args.recipe,
        settings=args.set,
        layout=args.layout,
        init=args.init,
        init_from=args.init_from,
        init_video=args.init_video,
        resume=args.resume,
        device=args.device,
        tensorboard=args.tensorboard,
        progress=True,
    )
    if int(os.environ.get("RANK", 0)) == 0:
        lines = [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
        if said := log.fall(lines):
            print(said)
        card = json.loads((out / "card.json").read_bytes())
        print(f"Run written to {out}. {_shared.after_training(args, out, args.stores[0], card['split'])}")
        if card["init"] is None and card["unit"] == "clip" and (better := _fewer(args, card)):
            print(better)


def _fewer(args: argparse.Namespace, card: dict[str, Any]) -> str | None:
    """What is better with so few clips, as was measured."""
    from ...motion import layout
    from ...training import bundled

    name = bundled.advised(card["clips"], layout.from_dict(card["layout"]), card["coords"], card["persons"])
    if name is None:
        return None
    if card["coords"] == 2:
        as_it_is = _shared.command_line(args, "embed", name, args.stores[0], "--out", "vectors")
        return f"With {card['clips']} clips {name} as it comes was measured to be better than any training: {as_it_is}"
    words = ("pretrain", "simclr", *args.stores, "--init", name, *(("--split", args.split) if args.split else ()))
    return (
        f"With {card['clips']} clips it was measured to be better to begin with the weights that come along: "
        f"{_shared.command_line(args, *words)}"
    )


def resume_hint(args: argparse.Namespace) -> str:
    """The command that resumes; settings are those of the run's card."""
    words = (args.method, *args.stores, "--out", _folder(args), "--resume")
    return _shared.command_line(args, "pretrain", *words)


def _folder(args: argparse.Namespace) -> str:
    """Where the run lies."""
    return args.out or f"runs/{args.method}-{'+'.join(Path(s).name for s in args.stores)}-{args.seed or 0}"
