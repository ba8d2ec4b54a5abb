"""Draw docs/pictures/across.jpg: clips of one domain and their nearest in the other, after pretraining and before."""

from __future__ import annotations

import argparse
from pathlib import Path

import kineme
from kineme.apps.demo_video import draw_neighbours
from kineme.data.store import Store

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "pictures" / "across.jpg"


def main() -> None:
    """`python scripts/across.py RUN DOMAINS`, DOMAINS as scripts/two_domains.py makes it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("domains", type=Path, metavar="DOMAINS")
    args = parser.parse_args()
    draw_neighbours(kineme.load(args.run), Store(args.domains / "game"), Store(args.domains / "real"), PICTURE)


if __name__ == "__main__":
    main()
