"""List methods, encoders, formats, pose estimators, protocols, layouts, benchmarks, recipes and weights."""

from __future__ import annotations

import argparse
import tomllib

from ...utils import registry


def arguments(parser: argparse.ArgumentParser) -> None:
    """It takes none."""


def run(args: argparse.Namespace) -> None:
    """Print every name with the first line of its file's docstring."""
    from ...training import recipe

    for subpackage in ("methods", "encoders", "io", "io.estimators", "evaluation.protocols"):
        print(f"{registry.KINDS[subpackage].word}s:")
        for name, text in registry.names(subpackage).items():
            print(f"  {name:14} {text}")
    layouts = tomllib.loads((registry.ROOT / "motion" / "layouts.toml").read_text(encoding="utf-8"))  # without NumPy
    print("layouts:\n  " + " ".join(layouts["layout"]))
    benchmarks = sorted(path.stem for path in (registry.ROOT / "data" / "benchmarks").glob("*.toml"))
    print("benchmarks (prepare --labels):\n  " + " ".join(benchmarks))
    print("recipes:\n  " + " ".join(dict.fromkeys((*recipe.PRESETS, *recipe.known()))))
    weights = sorted(path.parent.name for path in (registry.ROOT / "training" / "weights").glob("*/card.json"))
    print("weights (in place of a run):\n  " + " ".join(weights))
