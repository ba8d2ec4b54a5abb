"""The most memory that a step of P-HLVC takes, in a process that does nothing else: ours and the plain one.

    python bench/memory.py ours|reference FOLDER SIZES

is what :func:`peaks` starts; SIZES is JSON, FOLDER holds the store of pictures.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from shared import Bench, Sizes

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
STEPS = 2  # the second one has the optimiser's moments


def peaks(bench: Bench) -> tuple[float, float] | None:
    """MB of either side; None where the system does not tell."""
    if not RESET.exists():
        return None
    sizes = json.dumps(asdict(bench.sizes))
    words = [str(bench.films.path.parent), sizes]
    found = [
        subprocess.run([sys.executable, __file__, side, *words], check=True, capture_output=True, text=True).stdout
        for side in ("ours", "reference")
    ]
    return float(found[0]), float(found[1])


def main(side: str, folder: str, sizes: str) -> None:
    import part_p_hlvc

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
