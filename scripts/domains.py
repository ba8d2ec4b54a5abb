"""Draw docs/pictures/domains.jpg: the same synthetic motions in both domains of `kineme render`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import kineme
from kineme.viz import videos

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "pictures" / "domains.jpg"
ACTIONS = ("wave", "kick", "pick_up", "walk", "shake_hands")
SUBJECTS = 5  # so that the clips below are of different people


def main(picture: Path = PICTURE) -> None:
    """Render a clip of every action by another subject in each domain, and put them beneath each other."""
    clips = list(kineme.synth.generate(len(ACTIONS) * SUBJECTS, actions=ACTIONS, subjects=SUBJECTS, cameras=0, seed=1))
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        made = {}
        for shift, domain in enumerate(("game", "real")):
            chosen = [clips[(i + 2 * shift) % SUBJECTS * len(ACTIONS) + i] for i in range(len(ACTIONS))]
            made[domain] = kineme.render(chosen, Path(folder) / domain, domain, seed=1)
        for i, action in enumerate(ACTIONS):
            rows += [(f"{action.replace('_', ' ')}, {domain}", made[domain], i) for domain in made]
        videos.sheet(rows, picture, frames=8)


if __name__ == "__main__":
    main()
