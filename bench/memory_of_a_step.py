"""Prints the most memory of this process while it takes steps of P-HLVC, in MB.

    python bench/memory_of_a_step.py ours|reference FOLDER SIZES

is what :func:`memory.peaks` starts; SIZES is JSON, FOLDER holds the store of pictures.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import part_p_hlvc
from memory import RESET
from shared import Bench, Sizes

STATUS = Path("/proc/self/status")
STEPS = 2  # the second one has the optimiser's moments


def main(side: str, folder: str, sizes: str) -> None:
    chosen = Sizes(**json.loads(sizes))
    sides = part_p_hlvc.Sides(Bench(chosen, Path(folder)), chosen.films)
    sides.timed()
    step = sides.ours if side == "ours" else sides.theirs
    RESET.write_text("5")  # the high-water mark begins again: making the views does not count
    for _ in range(STEPS):
        step()
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    print(int(line.split()[1]) / 1000)


if __name__ == "__main__":
    main(*sys.argv[1:])
