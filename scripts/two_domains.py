"""Make the benchmark of two domains: stores `pretrain`, `game` and `real` in a folder."""

from __future__ import annotations

import argparse

from kineme.data.synth import two_domains
from kineme.utils import threads
from kineme.utils.progress import Bar


def main() -> None:
    """Make them, with a bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", metavar="FOLDER")
    parser.add_argument("--small", action="store_true", help="some 120 clips of 32 x 32, about a minute")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--others", nargs="*", default=[], metavar="STORE", help="3-D motion for one half of `pretrain`"
    )
    parser.add_argument("--jobs", type=int, default=threads.usable())
    args = parser.parse_args()
    size = two_domains.SMALL if args.small else two_domains.FULL
    with Bar("render", 0) as bar:

        def report(done: int, total: int, note: str) -> None:
            bar.update(done, note, total)

        made = two_domains.write(args.folder, size, args.seed, args.others, args.jobs, report)
    for name, store in made.items():
        parts = (
            {side: list(store.column("part")).count(side) for side in ("train", "test")} if name != "pretrain" else ""
        )
        print(f"{args.folder}/{name}: {len(store)} clips, {len(store.frames)} pictures {parts or ''}")


if __name__ == "__main__":
    main()
