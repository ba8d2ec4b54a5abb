"""P-HLVC on rendered motion of two domains: what two hundred steps must have brought (specification, invariant 14)."""

from __future__ import annotations

import json

import kineme
from kineme.data.synth import two_domains
from kineme.data.synth.two_domains import Size

SIZE = Size(pretrain=128, people=4, repetitions=1, common=1, rarest=1.0, side=32, fps=15.0)
STEPS, PROTOTYPES = 200, 32
MILD = {"crop_low": 0.9, "rotate": 0.0, "brightness": 0.2, "contrast": 0.2, "saturation": 0.3, "hue": 0.02, "grey": 0.0}
SETTINGS = {
    "method": {
        "dim": 64,
        "prototypes": PROTOTYPES,
        "queue_start": STEPS // 2,
        "contrast": 0.5,
        "ramp": 0.2,
        "frozen": 10,
        "pose": {"batch_norm": True, "distances": [2, 4]},
        "views": {"frames": 8, "step": 3, "size": 32, "views": 1, **MILD},
    },
    "encoder": {"multiplier": 0.125, "dim": 64, "momentum": 0.1},
    "loop": {"batch": 32, "lr": 5e-3, "steps": STEPS},
}


def test_pairs_are_nearer_than_others_and_prototypes_are_used(tmp_path):
    made = two_domains.write(tmp_path / "domains", SIZE)
    run = kineme.pretrain("p_hlvc", made["pretrain"], tmp_path / "run", settings=SETTINGS, device="cpu")
    first, *_, last = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert abs(first["cosine above others"]) < 0.05
    assert last["cosine above others"] > 0.1
    assert last["prototypes used"] >= PROTOTYPES / 2
