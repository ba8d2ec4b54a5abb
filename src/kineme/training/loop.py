"""The training loop, the same for every method: one process or many, fp32 or bf16, resumable at every step."""

from __future__ import annotations

import copy
import math
import shutil
import threading
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..data import store as stores
from ..data.store import Store
from ..encoders import Encoder
from ..methods import StepContext, generator
from ..nn import matmul
from ..nn.batch_norm import fix_statistics, update_statistics
from ..nn.momentum import MomentumEncoder
from ..utils import distributed, hardware, registry
from ..utils import settings as plain
from ..utils.distributed import ProcessGroup
from ..utils.errors import InputError
from ..utils.files import sha256, write_json
from ..utils.progress import Bar, duration, interruptible
from ..views.source import ClipLoader
from . import bundled, checkpoint, clips, public_weights, trained_on
from . import recipe as recipes
from . import run as runs
from .log import EpochLog
from .optim import average_gradients, build_optimiser, learning_rate
from .recipe import Recipe, build_method
from .watch import Watch, likely_cause

HOUR = 3600
LOOKED_AT = 1024  # clips from which statistics are taken that stay fixed
CHECK = 20  # steps after which a divergence is looked for
LONGEST = 600.0  # seconds without a resumable state within an epoch
JOINTS = "encoders.joint."  # the stream of joints among the weights of an encoder that is made of streams
AGREE = 10  # several processes ask each other every so many steps whether one was interrupted


def pretrain(
    method: str,
    store: Store | str | Path | Sequence[Store | str | Path],
    out: str | Path | None = None,
    *,
    epochs: int | None = None,
    steps: int | None = None,
    seed: int | None = None,
    split: str | None = None,
    recipe: str | None = None,
    settings: plain.Changes = (),
    layout: str | None = None,
    init: str | Path | None = None,
    init_from: str | Path | None = None,
    init_video: str | Path | None = None,
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
        epochs: how often every clip is seen, in place of the recipe's length.
        steps: how many batches are seen, in place of the recipe's length; not beside ``epochs``.
        seed: decides initial weights, order and views; the same seed on the same machine gives the same weights.
            By default 0.
        split: name of a split; only its training part is seen.
        recipe: a recipe's name or file, or ``small`` / ``published``; None sizes the settings to the store.
        settings: what is to differ from the recipe: ``{"method.temperature": 0.1, "loop": {"batch": 32}}``.
        layout: layout that several stores are mapped to.
        init: a finished run, or weights that come with Kineme by their name (``"base"``): a new training begins with
            its encoder. Clips are mapped to its layout and normalised as its own were, and the encoder's settings
            are its own.
        init_from: a finished run: weights, queues and optimisers are taken over where the names are the same,
            and epochs are counted from its beginning (HaLP begins with MoCo: Shah et al. 2023).
        init_video: file of published weights with which the encoder begins, such as those that torchvision
            distributes for ``s3d`` (:mod:`kineme.training.public_weights`). Only one of the three.
        resume: resume a run that was interrupted; the result equals that of an uninterrupted run. What is not given
            is taken from the run, anything else than it has is refused.
        device: ``"cpu"``, ``"cuda"``; by default CUDA where there is one.
        tensorboard: also write TensorBoard files (extra ``log``).
        progress: show progress on standard error.

    Returns:
        The folder of the run: ``card.json``, ``model.safetensors``, ``initial.safetensors`` (the encoder before
        training), ``trained_on.npy`` (marks of its clips, by which evaluation tells test clips that it has seen),
        ``log.jsonl``, ``resume/``.

    Raises:
        InputError: anything that does not fit; KeyboardInterrupt: after Ctrl-C, with a resumable state on disk.

    Examples:
        >>> out = kineme.pretrain("moco", store, "first", epochs=1, settings={"loop.batch": 16}, device="cpu")
        >>> (out / "model.safetensors").exists()
        True
    """
    here, device = distributed.start(), hardware.device(device)
    several = isinstance(store, Sequence) and not isinstance(store, (str, bytes))
    given: Sequence[Any] = store if several else [store]  # type: ignore[assignment]
    opened = [stores.opened(each) for each in given]
    names = "+".join(s.path.name for s in opened)
    run = Path(out) if out is not None else Path("runs") / f"{method}-{names}-{seed or 0}"
    begin = None if init is None else bundled.init(init)
    length = {f"loop.{word}": value for word, value in (("epochs", epochs), ("steps", steps)) if value is not None}
    given_settings = plain.assignments(settings) | length
    words = runs.Words(
        method,
        None if seed is None else plain.seed(seed),
        split,
        recipe,
        given_settings if begin is None else begin.settings(method, given_settings, recipe),
        layout,
        init_from,
        init_video,
        begin,
    )
    words.check()
    with runs.held(run, here):
        training = _prepared(run, words, opened, resume, device, here, tensorboard, progress)
        if training:
            with matmul.taking(training.card.get("matmul")):  # a run that is resumed multiplies as it began
                training.train()
    return run


def _prepared(
    run: Path,
    words: runs.Words,
    opened: Sequence[Store],
    resume: bool,
    device: str,
    here: ProcessGroup,
    tensorboard: bool,
    progress: bool,
) -> Training | None:
    """The training that the words ask for, new or resumed; None where it is done. Where this fails nothing is left."""
    card, gpu = runs.recorded(run) if resume else None, device != "cpu"
    if card is None:
        runs.claim(run, resume, here)
    try:
        data = clips.joined(opened, run, words.layout, here, card, words.init)
        rows = clips.rows(data, words.split if card is None else card.get("split"))
        unit = registry.entry("methods", words.method).unit
        items = int(data.lengths[rows].sum()) if unit == "frame" else len(rows)
        if card is not None:
            chosen = runs.check_resumed(run, card, words, opened, data, items, gpu)
            if card["status"] == "done":
                return None
        else:
            clips.check_enough(data, rows, words.split, unit, items)
            chosen = recipes.load(words.method, items, recipe=words.recipe, settings=words.settings, gpu=gpu)
            how, published = data.card["normalise"].get("how"), recipes.normalisation(words.recipe)
            if published not in (None, how):
                say = f"{words.recipe} was published for stores of `kineme prepare --normalise {published}`, not {how}"
                warnings.warn(say, stacklevel=3)
            card = runs.card(chosen, data, opened, words.split, len(rows), words.seed or 0, device, words.init)
            card["given"] = words.given()
            if words.init_from is not None:
                card["init"] = runs.start(words.init_from, chosen).recorded()
        public = words.init_video or (card.get("init_video") or {}).get("path")
        training = Training(
            run, card, chosen, data, rows, device, here, public, tensorboard=tensorboard, progress=progress
        )
    except BaseException:  # what cannot be trained leaves nothing behind
        if here.rank == 0 and not (run / "card.json").exists():
            shutil.rmtree(run / "joined", ignore_errors=True)
        raise
    if here.rank == 0:
        write_json(run / "card.json", card)
        if not (run / trained_on.FILE).exists():
            begun = training.begun or training.init
            trained_on.write(run, data, rows.numpy(), begun.path if begun else None)
    return training


class Training:
    """One training run under way; :func:`pretrain` prepares it, :meth:`train` is the loop.

    Args:
        run: the folder of the run.
        card: its card.
        chosen: method, encoder and loop with their settings.
        data: the store.
        rows: int64 ``[n]``, its training clips.
        device: where to train.
        here: the processes that train together.
        public: file of published weights with which its encoders begin.
        tensorboard: also write TensorBoard files.
        progress: show progress on standard error.

    Raises:
        InputError: weights that do not fit, a batch larger than the set, or not divisible by the processes.
    """

    _clock: float  # when the epoch under way began
    _saved: float  # when a state was last saved
    _kept = 0  # step of that state

    def __init__(
        self,
        run: Path,
        card: dict[str, Any],
        chosen: Recipe,
        data: Store,
        rows: Tensor,
        device: str,
        here: ProcessGroup,
        public: str | Path | None = None,
        *,
        tensorboard: bool = False,
        progress: bool = False,
    ):
        self.run, self.card, self.loop, self.seed = run, card, chosen.loop, card["seed"]
        self.device, self.here, self.rows = torch.device(device), here, rows
        self.state = run / "resume" / "state.safetensors"

        earlier = card.get("init") or {}
        self.init = bundled.init(earlier["run"]) if earlier.get("weights") and not self.state.exists() else None

        def begin(encoder: Encoder) -> None:
            if public is not None and not self.state.exists():
                card["init_video"] = public_weights.load(encoder, public)

        self.method = build_method(
            chosen, data.layout, data.coords, card["persons"], self.seed, data.card.get("up"), begin
        ).to(self.device)
        if self.init is not None:
            self._take_encoder(self.init)
        self.source = ClipLoader(data, self.device, rows, faithful=bool(chosen.method.get("faithful")))
        self.items = self.method.items(self.source, rows)
        self._check_batch()
        self.groups = self.method.groups()
        self.optimisers = {name: build_optimiser(params, self.loop) for name, params in self.groups.items()}
        self.per_epoch = len(self.items) // self.loop.batch
        self.total = self.loop.total(self.per_epoch)
        self.epochs = math.ceil(self.total / self.per_epoch)  # the last one is cut where steps are counted
        self.step, self.seconds = 0, 0.0
        self.first = 0  # that this run trains: another from which it begins may have gone before
        self.log = EpochLog(run, list(self.groups), here, self.device, tensorboard)
        self.progress = progress and here.rank == 0
        self.watch = Watch(here)
        self.filling = False  # a queue was not full when the epoch under way began
        self.begun = runs.Start.of(earlier) if earlier and not earlier.get("weights") else None
        if self.begun:
            self.first = round(self.begun.epochs * self.per_epoch)
            if self.first >= self.total:
                raise runs.nothing_left(self.begun, self.loop, self.first, self.per_epoch)
            if not self.state.exists():
                self._take_over(self.begun)

    def train(self) -> None:
        """Train to the last epoch, writing the log, resumable states and at the end the model."""
        self._begin()
        with interruptible() as interrupted, Bar(f"pretrain {self.card['method']}", self.total, self.progress) as bar:
            for note in self.method.notes(self.source):
                bar.say(note)
            self._start_clocks()
            for epoch in range(self.step // self.per_epoch, self.epochs):
                order = self.items[torch.randperm(len(self.items), generator=generator(self.seed, "epoch", epoch))]
                last = min(self.per_epoch, self.total - epoch * self.per_epoch)
                for index in order.split(self.loop.batch)[self.step % self.per_epoch : last]:
                    step = StepContext(self.step, epoch, self.total, self.epochs, self.here, self.seed, self.per_epoch)
                    self.log.add(self.train_step(index, step))
                    self.step += 1
                    if self.step % CHECK == 0:
                        self._check_loss()
                    if self.step - self._first == 20:
                        self._announce(bar, (time.monotonic() - self._began) / 20)
                    if self.step % self.per_epoch and self.step < self.total:
                        self._stop_if(interrupted)
                self.end_epoch(epoch, bar)
                self._stop_if(interrupted)
        self._finish()

    def train_step(self, index: Tensor, step: StepContext) -> dict[str, Tensor]:
        """One whole step of any method on the items ``index`` of the global batch; what is to be logged."""
        index = index.tensor_split(self.here.size)[self.here.rank]
        gen = generator(self.seed, "step", step.number, self.here.rank)
        torch.manual_seed(gen.initial_seed())  # dropout draws from torch's own stream: nothing has to be saved
        views = self.method.views(self.source, index, gen)
        self.method.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.loop.precision == "bf16"):
            losses, log = self.method.losses(views, step)
        for i, (name, params) in enumerate(self.groups.items()):
            losses[name].backward(inputs=params, retain_graph=i + 1 < len(self.groups))
        average_gradients(self.groups, self.here)
        for name, optimiser in self.optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] = self._learning_rate(step.number / self.per_epoch, step.epoch)
            if self.loop.clip:
                nn.utils.clip_grad_norm_(self.groups[name], self.loop.clip)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.method.after_step(step)
        self.watch.add(losses.values())
        return {**{name: loss.detach() for name, loss in losses.items()}, **log}

    def end_epoch(self, epoch: int, bar: Bar) -> None:
        """Write the epoch's line of the log, and a resumable state if the last one is old.

        Raises:
            InputError: the training diverges.
        """
        self._check_loss()
        now, steps = time.monotonic(), self.step - max(self.first, epoch * self.per_epoch)
        self.seconds, seconds, self._clock = self.seconds + now - self._clock, now - self._clock, now
        speed = {
            "lr": self._learning_rate(epoch, epoch),
            "seconds": round(seconds, 3),
            "clips_per_second": round(steps * self.loop.batch / max(seconds, 1e-9), 1),
        }
        line = self.log.write(epoch, self.step, steps, ({"filling": 1} if self.filling else {}) | speed)
        bar.update(self.step, f"loss {line['loss']:.3f}{', queue filling' if self.filling else ''}")
        self.filling = self.filling and not self.method.settled()
        if now - self._saved >= self.loop.save_seconds and self.step < self.total:
            self.save()
            self._saved = time.monotonic()

    def _learning_rate(self, epoch: float, whole: int) -> float:
        return learning_rate(self.loop, epoch, whole, self.total / self.per_epoch, self.per_epoch)

    def _check_loss(self) -> None:
        """Stop a training that diverges, with the likely cause; the last state stays as it is."""
        fault = self.watch.fault(self.method.settled())
        if not fault:
            return
        kept = f"; the state saved before, at step {self._kept}, is in {self.state.parent}" if self._kept else ""
        raise InputError(
            self.run,
            f"diverges: at step {self.step} {fault}{kept}",
            "a loss that falls",
            likely_cause(self.source.store, self.loop),
        )

    def save(self) -> None:
        """Write everything that resuming needs.

        Raises:
            InputError: the training diverges: that state is not worth keeping.
        """
        self._check_loss()
        sums = self.log.averaged()
        if self.here.rank:
            return
        tensors = {f"method/{k}": v for k, v in self.method.state_dict().items()}
        tensors |= {f"optimiser/{k}": v for k, v in checkpoint.optimiser_tensors(self.optimisers).items()}
        tensors |= {f"sums/{k}": v for k, v in sums.items()}
        seconds = self.seconds + time.monotonic() - self._clock
        where = {"step": self.step, "seconds": seconds, "log_bytes": self.log.size, "method": self.card["method"]}
        where |= {"start": self.watch.start, "filling": self.filling}
        checkpoint.save(self.state, tensors, where)
        self._kept = self.step

    # ---- before the first step and after the last

    def _check_batch(self) -> None:
        batch, items, processes = self.loop.batch, len(self.items), self.here.size
        if batch > items:
            raise InputError(
                "loop.batch",
                f"a batch of {batch} from {items} training {self.method.unit}s",
                "a batch no larger than the set",
                f"Use --set loop.batch={max(1, items // 2)}",
            )
        if batch % processes:
            raise InputError(
                "loop.batch", f"a batch of {batch} for {processes} processes", f"a multiple of {processes}"
            )

    def _begin(self) -> None:
        """Resume, or begin: then the untrained encoder is kept for comparison."""
        self.filling = not self.method.settled()
        if self.state.exists():
            self._restore()
        elif begun := self.begun or self.init:  # its encoder before any training stays the one to compare with
            if self.here.rank == 0:
                self.log.clear()
                shutil.copyfile(begun.untrained, self.run / "initial.safetensors")
        else:
            self._fix_statistics()
            untrained = copy.deepcopy(self.method.encoder())
            # every process takes part, since batch norm asks all of them
            update_statistics(untrained, self.method.look(self.source, self.rows))
            if self.here.rank == 0:
                self.log.clear()
                checkpoint.save(self.run / "initial.safetensors", untrained.state_dict())

    def _fix_statistics(self) -> None:
        """Statistics that stay fixed, from some of the training clips; momentum encoders begin as copies again."""
        some = self.rows[torch.randperm(len(self.rows), generator=generator(self.seed, "statistics"))[:LOOKED_AT]]
        fix_statistics(self.method.encoder(), self.method.look(self.source, some))
        self._restart_copies()

    def _restore(self) -> None:
        tensors, card = checkpoint.load(self.state)
        if card.get("method") != self.card["method"]:
            what, wanted = f"a state of method {card.get('method')!r}", f"a state of {self.card['method']!r}"
            raise InputError(self.state, what, wanted)
        checkpoint.restore(self.method, checkpoint.part(tensors, "method/"), self.state)
        checkpoint.restore_optimisers(self.optimisers, checkpoint.part(tensors, "optimiser/"), self.state)
        step, seconds, log = (card.get(name) for name in ("step", "seconds", "log_bytes"))
        if not (isinstance(step, int) and isinstance(seconds, (int, float)) and isinstance(log, int)):
            what = f"step {step}, after {seconds} seconds and {log} bytes of log"
            raise InputError(self.state, what, "numbers", checkpoint.DAMAGED)
        if not self.first <= step <= self.total:
            raise InputError(self.state, f"step {step}", f"one from {self.first} to {self.total}", checkpoint.DAMAGED)
        self.step, self.seconds, self._kept = step, seconds, step
        start = card.get("start")  # of earlier versions there is none
        self.watch = Watch(self.here, start if isinstance(start, float) else None)
        self.filling = bool(card.get("filling", False))
        self.log.restore(checkpoint.part(tensors, "sums/"), log)

    def _take_encoder(self, init: bundled.Init) -> None:
        """Begin with the encoder of another run; what else the method has keeps its initial values."""
        if sha256(init.weights) != self.card["init"]["hash"]:
            raise InputError(init.path, "other weights than when this run began", "the run as it was")
        encoder, (tensors, _) = self.method.encoder(), checkpoint.load(init.weights)
        if not tensors.keys() & encoder.state_dict().keys():  # one of them may be made of streams, with a single one
            tensors = checkpoint.part(tensors, JOINTS) or {JOINTS + name: value for name, value in tensors.items()}
        checkpoint.restore(encoder, tensors, init.weights)
        self._restart_copies()

    def _restart_copies(self) -> None:
        for module in self.method.modules():
            if isinstance(module, MomentumEncoder):
                module.restart()

    def _take_over(self, begun: runs.Start) -> None:
        """Begin where another run ended: its weights, queues, optimisers and number of epochs; what only this method
        has (prototypes) keeps its initial values.
        """
        if sha256(begun.state) != self.card["init"]["hash"]:
            raise InputError(begun.path, "another training state than when this run began", "the run as it was")
        tensors, _ = checkpoint.load(begun.state)
        own = self.method.state_dict()
        weights = {name for name, _ in self.method.named_parameters()}
        taken = checkpoint.part(tensors, "method/")
        fresh = {name: own[name] for name in own.keys() - taken.keys() - weights}
        checkpoint.restore(self.method, {**taken, **fresh}, begun.path)
        checkpoint.restore_optimisers(self.optimisers, checkpoint.part(tensors, "optimiser/"), begun.path)
        self.step = self.first

    def _start_clocks(self) -> None:
        self._saved = self._clock = self._began = time.monotonic()
        self._first = self.step

    def _announce(self, bar: Bar, seconds: float) -> None:
        """How fast it goes and how long it will take, from the seconds of a step."""
        left = seconds * (self.total - self.step)
        bar.say(
            f"{self.loop.batch / seconds:.0f} clips/s on {self.device}, about {duration(left)} left "
            f"({self.total} steps of {self.loop.batch} clips)"
        )
        if left > HOUR and self.card["recipe"]["preset"] != "small":
            bar.say("That is above an hour on this machine. For a first look: --recipe small")

    def _stop_if(self, interrupted: threading.Event) -> None:
        """After Ctrl-C in any of the processes: save, and leave. Save also where the last state is old."""
        if self.here.size > 1 and self.step % AGREE:
            return
        stop = interrupted.is_set()
        old = time.monotonic() - self._saved >= LONGEST and self.step < self.total
        if self.here.any(stop or old):
            self.save()
            self._saved = time.monotonic()
            if self.here.any(stop):
                raise KeyboardInterrupt

    def _finish(self) -> None:
        self.log.close()
        if self.here.rank == 0:
            checkpoint.save(self.run / "model.safetensors", self.method.encoder().state_dict())
            self.save()
            self.card.update(
                status="done", seconds=round(self.seconds, 2), steps=self.total, steps_per_epoch=self.per_epoch
            )
            write_json(self.run / "card.json", self.card)
