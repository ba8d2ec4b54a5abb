"""Where the tests find real recorded data and reference vectors; both are optional and kept out of the history."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")  # as many processes as cores; set before any test loads torch

settings.register_profile("kineme", deadline=None)  # machines under load are slow, which is no fault
settings.load_profile("kineme")

HERE = Path(__file__).parent


# modules whose tests start processes of their own (kill, resume, torchrun, the command line) or share costly fixtures:
# each stays in one worker, so that they do not starve each other and its fixtures are made once
TOGETHER = (
    "apps/test_cli",
    "apps/explorer/test_odd_sets",
    "apps/explorer/test_opening",
    "apps/explorer/test_page",
    "apps/explorer/test_page_access",
    "apps/explorer/test_page_files",
    "apps/explorer/test_page_sets",
    "apps/explorer/test_page_teach",
    "apps/explorer/test_security",
    "apps/test_demo",
    "bench/test_bench",
    "data/test_prepare",
    "data/test_workers",
    "evaluation/test_reproduce",
    "inference/test_frame_codes",
    "inference/test_spread",
    "training/test_import_weights",
    "training/test_loop",
    "training/test_run",
    "training/test_step",
    "training/test_watch",
    "utils/test_distributed",
    "utils/test_ray_cluster",
    "test_extend",
)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        module = item.path.relative_to(HERE).with_suffix("").as_posix()
        if module in TOGETHER:
            item.add_marker(pytest.mark.xdist_group(module))


def _folder(variable: str, default: Path) -> Path:
    return Path(os.environ.get(variable) or default)


DATA = _folder("KINEME_DATA", HERE.parent.parent / "shared" / "data")
GOLDEN = _folder("KINEME_GOLDEN", HERE / "golden" / "data")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of real recorded sets (environment variable KINEME_DATA)."""
    if not DATA.is_dir():
        pytest.skip(f"real data not found at {DATA} (set KINEME_DATA)")
    return DATA


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    """Folder of reference vectors (environment variable KINEME_GOLDEN)."""
    return GOLDEN


@pytest.fixture(scope="session")
def golden():
    """``golden("halp_knn")`` -> dict of arrays."""

    def load(name: str) -> dict[str, np.ndarray]:
        with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
            return {key: file[key] for key in file.files}

    return load
