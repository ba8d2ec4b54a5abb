"""The most memory that a step of P-HLVC takes, in a process that does nothing else: ours and the plain one."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from shared import Bench

RESET = Path("/proc/self/clear_refs")
STEP = Path(__file__).with_name("memory_of_a_step.py")  # run, not imported: it imports the part that asks


def peaks(bench: Bench) -> tuple[float, float] | None:
    """MB of either side; None where the system does not tell."""
    if not RESET.exists():
        return None
    sizes = json.dumps(asdict(bench.sizes))
    words = [str(bench.films.path.parent), sizes]
    found = [
        subprocess.run([sys.executable, STEP, side, *words], check=True, capture_output=True, text=True).stdout
        for side in ("ours", "reference")
    ]
    return float(found[0]), float(found[1])
