"""Every script in examples/ runs as it stands, on its synthetic data, and writes what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.processes import Process, finished, python

EXAMPLES = Path(__file__).parents[1] / "examples"
WRITES = {
    "1_folder_to_neighbours": ["run/model.safetensors"],
    "2_few_labels": ["run/model.safetensors"],
    "3_a_method_of_your_own": ["run/model.safetensors"],
    "4_scores_with_a_spread": ["run-0/model.safetensors", "run-1/model.safetensors"],
    "5_pictures": ["strip.png", "four.gif", "map.png"],
}
SAYS = {
    "1_folder_to_neighbours": "1.000  ",
    "2_few_labels": "untrained: ",
    "3_a_method_of_your_own": "Run written to",
    "4_scores_with_a_spread": "hand-crafted",
    "5_pictures": "Pictures written to",
}


def test_every_example_is_here():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(WRITES) == set(SAYS)


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITES)
def test_it_runs(name, tmp_path):
    done = finished(Process(python, EXAMPLES / f"{name}.py", tmp_path))
    assert done.returncode == 0, done.stderr
    assert SAYS[name] in done.stdout
    for file in WRITES[name]:
        assert (tmp_path / file).stat().st_size > 0
    assert len((EXAMPLES / f"{name}.py").read_text().splitlines()) <= 70
