"""The training loop, the same for every method: one process or many, fp32 or bf16, resumable at every step."""

from __future__ import annotations

import copy
import json
import math
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from ..data import splits, store_writer
from ..data import store as stores
from ..data.store import Store
from ..methods import StepContext, generator
from ..nn.batch_norm import update_statistics
from ..utils import distributed, registry
from ..utils import settings as plain
from ..utils.distributed import ProcessGroup
from ..utils.errors import InputError
from ..utils.files import sha256, write_json
from ..utils.progress import Bar
from ..views.source import ClipLoader
from . import checkpoint
from . import recipe as recipes
from . import run as runs
from .optim import average_gradients, build_optimiser, learning_rate
from .recipe import Recipe, build_method

HOUR = 3600
AGREE = 10  # several processes ask each other every so many steps whether one was interrupted


def pretrain(
    method: str,
    store: Store | str | Path | Sequence[Store | str | Path],
    out: str | Path | None = None,
    *,
    epochs: int | None = None,
    seed: int = 0,
    split: str | None = None,
    recipe: str | None = None,
    settings: plain.Changes = (),
    layout: str | None = None,
    init_from: str | Path | None = None,
    resume: bool = False,
    device: str | None = None,
    tensorboard: bool = False,
    progress: bool = False,
) -> Path:
    """Train an encoder on a store, without labels.

    Args:
        method: a name from ``kineme methods``.
        store: a store or its folder; several are joined on ``layout``.
        out: folder of the run; by default ``runs/METHOD-STORE-SEED``. An existing run is never overwritten.
        epochs: in place of the recipe's.
        seed: decides initial weights, order and views; the same seed on the same machine gives the same weights.
        split: name of a split; only its training part is seen.
        recipe: a recipe's name or file, or ``small`` / ``published``; None sizes the settings to the store.
        settings: what is to differ from the recipe: ``{"method.temperature": 0.1, "loop": {"batch": 32}}``.
        layout: layout that several stores are mapped to.
        init_from: a finished run: weights, queues and optimisers are taken over where the names are the same,
            and epochs are counted from its beginning (HaLP begins with MoCo: Shah et al. 2023).
        resume: go on with a run that was interrupted, with its recorded settings; the result equals that of an
            uninterrupted run.
        device: ``"cpu"``, ``"cuda"``; by default CUDA where there is one.
        tensorboard: also write TensorBoard files (extra ``log``).
        progress: show progress on standard error.

    Returns:
        The folder of the run: ``card.json``, ``model.safetensors``, ``initial.safetensors`` (the encoder before
        training), ``log.jsonl``, ``resume/``.

    Raises:
        InputError: anything that does not fit; KeyboardInterrupt: after Ctrl-C, with a resumable state on disk.
    """
    here = distributed.start()
    opened = [
        s if isinstance(s, Store) else stores.open(s)
        for s in ([store] if isinstance(store, (str, Path, Store)) else store)
    ]
    name = "+".join(s.path.name for s in opened)
    run = Path(out) if out is not None else Path("runs") / f"{method}-{name}-{seed}"
    device = device or (f"cuda:{torch.cuda.current_device()}" if torch.cuda.is_available() else "cpu")

    card = runs.recorded(run) if resume else None
    if card is None:
        runs.claim(run, resume, here)
        data = _joined(opened, run, layout, here)
        rows = _rows(data, split)
        changes = plain.assignments(settings) | ({"loop.epochs": epochs} if epochs is not None else {})
        many = int(data.lengths[rows].sum()) if registry.entry("methods", method).unit == "frame" else len(rows)
        chosen = recipes.load(method, many, recipe=recipe, settings=changes, gpu=device != "cpu")
        card = runs.card(chosen, data, opened, split, len(rows), seed, device)
        if init_from is not None:
            begun = runs.start(init_from, chosen)
            card["init"] = {"run": str(begun.path), "hash": sha256(begun.state), "epochs": begun.epochs}
    else:
        if (
            settings
            or init_from is not None
            or epochs not in (None, card["recipe"]["loop"]["epochs"])
            or card["method"] != method
            or card["seed"] != seed
        ):
            raise InputError(
                run,
                "a run with other settings",
                f"method {card['method']}, seed {card['seed']} and no settings",
                "Resuming takes the recorded settings; leave --set, --epochs, --init-from away, or choose a new --out",
            )
        if [s.hash for s in opened] != [s["hash"] for s in card["stores"]]:
            raise InputError(
                run,
                "a run on other data",
                f"the store with hash {card['stores'][0]['hash'][:12]}",
                "Give the store it began with",
            )
        data = _joined(opened, run, layout, here)
        rows = _rows(data, card["split"])
        chosen = recipes.from_card(card)
        if card["status"] == "done":
            return run
    training = Training(run, card, chosen, data, rows, seed, device, here, tensorboard, progress)
    if here.rank == 0:  # only now: what cannot be trained leaves no folder behind
        write_json(run / "card.json", card)
    training.go()
    return run


class Training:
    """One training under way; :func:`pretrain` prepares it, :meth:`go` is the loop."""

    def __init__(
        self,
        run: Path,
        card: dict,
        chosen: Recipe,
        data: Store,
        rows: Tensor,
        seed: int,
        device: str,
        here: ProcessGroup,
        tensorboard: bool,
        progress: bool,
    ):
        self.run, self.card, self.loop, self.seed = run, card, chosen.loop, seed
        self.device, self.here = torch.device(device), here
        self.source = ClipLoader(data, device=self.device, rows=rows)
        self.rows = rows
        self.method = build_method(chosen, data.layout, data.coords, data.persons, seed).to(self.device)
        self.items = self.method.items(self.source, rows)
        if self.loop.batch > len(self.items):
            raise InputError(
                "loop.batch",
                f"a batch of {self.loop.batch} from {len(self.items)} training {self.method.unit}s",
                "a batch no larger than the set",
                f"Use --set loop.batch={max(1, len(self.items) // 2)}",
            )
        if self.loop.batch % here.size:
            raise InputError(
                "loop.batch", f"a batch of {self.loop.batch} for {here.size} processes", f"a multiple of {here.size}"
            )
        self.groups = self.method.groups()
        self.optimisers = {name: build_optimiser(params, self.loop) for name, params in self.groups.items()}
        self.per_epoch = len(self.items) // self.loop.batch
        self.total = self.per_epoch * self.loop.epochs
        self.step, self.seconds = 0, 0.0
        self.sums: dict[str, Tensor] = {}  # of the log, over the epoch under way
        self.tensorboard, self.progress = tensorboard, progress and here.rank == 0
        self.log = run / "log.jsonl"
        init = card.get("init")
        self.begun = runs.Start(Path(init["run"]), init["epochs"]) if init else None
        if self.begun and not (run / "resume" / "state.safetensors").exists():
            self._take_over(self.begun)

    def go(self) -> None:
        """Train to the last epoch, writing the log, resumable states and at the end the model."""
        state = self.run / "resume" / "state.safetensors"
        if state.exists():
            self._restore(state)
        elif self.begun:
            if self.here.rank == 0:  # its encoder before any training stays the one to compare with
                self.log.write_text("")
                shutil.copyfile(self.begun.untrained, self.run / "initial.safetensors")
        else:
            before = copy.deepcopy(self.method.encoder())
            # every process takes part, since batch norm asks all of them
            update_statistics(before, self.method.look(self.source, self.rows))
            if self.here.rank == 0:
                self.log.write_text("")
                checkpoint.save(self.run / "initial.safetensors", before.state_dict())
        writer = _tensorboard(self.run) if self.tensorboard and self.here.rank == 0 else None
        saved = clock = time.monotonic()
        first, timed = self.step, clock
        with _interruptible() as interrupted, Bar(f"pretrain {self.card['method']}", self.total, self.progress) as bar:
            while self.step < self.total:
                epoch, within = divmod(self.step, self.per_epoch)
                if within == 0 or self.step == first:
                    order = self.items[torch.randperm(len(self.items), generator=generator(self.seed, "epoch", epoch))]
                step = StepContext(self.step, epoch, self.total, self.loop.epochs, self.here, self.seed)
                logged = self._one(order[within * self.loop.batch :][: self.loop.batch], step)
                for key, value in logged.items():
                    self.sums[key] = self.sums[key] + value if key in self.sums else value
                self.step += 1
                if self.step - first == 20:
                    self._announce(bar, (time.monotonic() - timed) / 20)
                if self.step % self.per_epoch == 0:
                    line = self._epoch_line(epoch, time.monotonic() - clock)
                    self.seconds += time.monotonic() - clock
                    clock = time.monotonic()
                    bar.update(self.step, f"loss {line['loss']:.3f}")
                    if writer:
                        for key, number in line.items():
                            writer.add_scalar(key, number, epoch)
                    if time.monotonic() - saved >= self.loop.save_seconds and self.step < self.total:
                        self._save(state)
                        saved = time.monotonic()
                if (self.here.size == 1 or self.step % AGREE == 0) and self.here.any(interrupted.is_set()):
                    self.seconds += time.monotonic() - clock
                    self._save(state)
                    raise KeyboardInterrupt
        if writer:
            writer.close()
        if self.here.rank == 0:
            checkpoint.save(self.run / "model.safetensors", self.method.encoder().state_dict())
            self._save(state)
            self.card.update(status="done", seconds=round(self.seconds, 2), steps=self.total)
            write_json(self.run / "card.json", self.card)

    def _one(self, index: Tensor, step: StepContext) -> dict[str, Tensor]:
        """One whole step of any method."""
        share = len(index) // self.here.size
        index = index[self.here.rank * share :][:share]
        gen = generator(self.seed, "step", step.number, self.here.rank)
        torch.manual_seed(
            gen.initial_seed()
        )  # dropout draws from torch's own stream: seeded by step, it needs no saving
        views = self.method.views(self.source, index, gen)
        self.method.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.loop.precision == "bf16"):
            losses, log = self.method.losses(views, step)
        for i, (name, params) in enumerate(self.groups.items()):
            losses[name].backward(inputs=params, retain_graph=i + 1 < len(self.groups))
        average_gradients(self.groups, self.here)
        for name, optimiser in self.optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(self.loop, step.number / self.per_epoch, step.epoch)
            if self.loop.clip:
                nn.utils.clip_grad_norm_(self.groups[name], self.loop.clip)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.method.after_step(step)
        return {**{name: loss.detach() for name, loss in losses.items()}, **log}

    def _epoch_line(self, epoch: int, seconds: float) -> dict[str, float]:
        """Average the log over the epoch and all processes, write one JSON line, and stop on a loss that is not
        finite.
        """
        line: dict[str, float] = {"epoch": epoch, "step": self.step}
        for key, total in self.sums.items():
            value = self.here.mean_(torch.as_tensor(total, dtype=torch.float32, device=self.device).clone())
            line[key] = float(value) / self.per_epoch
        self.sums = {}
        if len(self.groups) > 1:
            line["loss"] = sum(line[name] for name in self.groups)
        elif "loss" not in line:
            line["loss"] = line[next(iter(self.groups))]
        line["lr"] = learning_rate(self.loop, epoch, epoch)
        line["seconds"] = round(seconds, 3)
        line["clips_per_second"] = round(self.per_epoch * self.loop.batch / max(seconds, 1e-9), 1)
        if not math.isfinite(line["loss"]):
            raise InputError(
                self.run,
                f"the loss of epoch {epoch} is {line['loss']}",
                "a finite loss",
                "Lower loop.lr, set loop.clip=1.0, or look at the data with kineme info",
            )
        if self.here.rank == 0:
            with open(self.log, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        return line

    def _announce(self, bar: Bar, seconds: float) -> None:
        left = seconds * (self.total - self.step)
        bar.say(
            f"{self.loop.batch / seconds:.0f} clips/s on {self.device}, about {_duration(left)} left "
            f"({self.total} steps of {self.loop.batch} clips)"
        )
        if left > HOUR and self.card["recipe"]["preset"] != "small":
            bar.say("That is above an hour on this machine. For a first look: --recipe small")

    def _save(self, path: Path) -> None:
        sums = {k: self.here.mean_(torch.as_tensor(v).clone()) for k, v in self.sums.items()}
        if self.here.rank:
            return
        tensors = {f"method/{k}": v for k, v in self.method.state_dict().items()}
        tensors |= {f"optimiser/{k}": v for k, v in checkpoint.optimiser_tensors(self.optimisers).items()}
        tensors |= {f"sums/{k}": v for k, v in sums.items()}
        checkpoint.save(
            path,
            tensors,
            {
                "step": self.step,
                "seconds": self.seconds,
                "log_bytes": self.log.stat().st_size,
                "method": self.card["method"],
            },
        )

    def _take_over(self, begun: runs.Start) -> None:
        """Begin where another run ended: its weights, queues, optimisers and number of epochs; what only this method
        has (prototypes) keeps its beginning.
        """
        if sha256(begun.state) != self.card["init"]["hash"]:
            raise InputError(begun.path, "another training state than when this run began", "the run as it was")
        tensors, _ = checkpoint.load(begun.state)
        own = self.method.state_dict()
        weights = {name for name, _ in self.method.named_parameters()}
        taken = checkpoint.part(tensors, "method/")
        fresh = {name: own[name] for name in own.keys() - taken.keys() - weights}
        checkpoint.restore(self.method, {**taken, **fresh}, begun.path)
        checkpoint.restore_optimisers(self.optimisers, checkpoint.part(tensors, "optimiser/"))
        self.step = begun.epochs * self.per_epoch

    def _restore(self, path: Path) -> None:
        tensors, card = checkpoint.load(path)
        if card.get("method") != self.card["method"]:
            raise InputError(path, f"a state of method {card.get('method')!r}", f"a state of {self.card['method']!r}")
        checkpoint.restore(self.method, checkpoint.part(tensors, "method/"), path)
        checkpoint.restore_optimisers(self.optimisers, checkpoint.part(tensors, "optimiser/"))
        self.sums = {k: v.to(self.device) for k, v in checkpoint.part(tensors, "sums/").items()}
        self.step, self.seconds = card["step"], card["seconds"]
        if self.here.rank == 0:
            with open(self.log, "rb+") as file:
                file.truncate(card["log_bytes"])


def _joined(opened: Sequence[Store], run: Path, layout: str | None, here: ProcessGroup) -> Store:
    """The one store, or several joined on a layout inside the run's folder."""
    if len(opened) == 1 and layout in (None, opened[0].layout.name):
        return opened[0]
    path = run / "joined"
    if here.rank == 0 and not path.exists():
        store_writer.join(opened, path, layout)
    if here.size > 1:
        torch.distributed.barrier()
    return stores.open(path)


def _rows(data: Store, split: str | None) -> Tensor:
    """The training part of a split, the same for every seed: `random` is then the one that evaluation tests on."""
    if split is None:
        return torch.arange(len(data))
    return torch.as_tensor(splits.split(data, split).train)


def _tensorboard(run: Path):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise InputError(
            "--tensorboard", "TensorBoard is not installed", "the extra 'log'", "pip install 'kineme[log]'"
        ) from None
    return SummaryWriter(str(run / "tensorboard"))


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Ctrl-C asks the loop to stop after the step under way; a second one stops at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def ask(*_: object) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / HOUR:.1f} h"
