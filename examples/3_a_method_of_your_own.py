"""A method in a file outside the package: written here, trained by the command line with --plugin.

python examples/3_a_method_of_your_own.py [OUT]
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import kineme

METHOD = '''"""VICReg-like: two views agree, every dimension varies, no two of them say the same."""

from dataclasses import dataclass, field

from kineme.methods import Method
from kineme.views.augment import ViewSettings, views


class Agree(Method):
    @dataclass(frozen=True)
    class Settings:
        variance: float = 1.0
        covariance: float = 0.04
        views: ViewSettings = field(default_factory=ViewSettings)
        faithful: bool = False

    def __init__(self, settings, new_encoder):
        super().__init__()
        self.settings, self.net = settings, new_encoder()

    def views(self, source, index, gen):  # what it sees; draws come from gen, so a run resumes to the last bit
        return views(source, index, self.settings.views, gen)

    def losses(self, views, step):  # {group: loss}, {name: value to log}
        a, b = (self.net(view).clip for view in views)
        z = (a - a.mean(0)) / (a.std(0) + 1e-4)
        correlation = (z.T @ z / len(z)).fill_diagonal_(0)
        terms = {"agree": (a - b).square().mean(), "vary": (1 - a.std(0)).relu().mean()}
        terms["differ"] = correlation.square().mean()
        total = terms["agree"] + self.settings.variance * terms["vary"] + self.settings.covariance * terms["differ"]
        return {"loss": total}, {name: term.detach() for name, term in terms.items()}

    def encoder(self):
        return self.net
'''


def main(out: Path) -> None:
    kineme.synth.write(out / "motion", 64, actions=["walk", "kick", "wave", "jump"], subjects=4, cameras=1)
    store = kineme.prepare(out / "motion", out / "store").path
    (out / "agree.py").write_text(METHOD)
    words = ["--plugin", out / "agree.py", "pretrain", "agree", store, "--out", out / "run", "--epochs", 2]
    words += ["--set", "encoder.hidden=16", "--set", "loop.batch=16", "--set", "method.views.frames=16"]
    subprocess.run([sys.executable, "-m", "kineme", *map(str, words)], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp()))
