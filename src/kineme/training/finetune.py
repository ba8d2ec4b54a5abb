"""Train an encoder with a linear classifier on labelled clips: fine-tuning, or a linear probe on a frozen encoder."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy, pad
from torch.nn.utils import skip_init

from ..data.store import Store
from ..encoders import Encoder
from ..nn.dropout import dropout
from ..utils.errors import InputError
from ..utils.settings import positive
from ..views import augment, video_clips
from ..views.augment import ViewSettings
from ..views.batch import Batch
from ..views.source import ClipLoader
from ..views.video_clips import VideoViewSettings

AT_ONCE = 256  # clips that are tested at a time
TINY = 1e-30  # of a probability before its logarithm
Tell = Callable[[str], None]


class Trainee(Protocol):
    """What is asked of a model; :class:`kineme.inference.model.Model` has it."""

    encoder: Encoder
    card: dict[str, Any]
    device: torch.device

    def loader(self, store: Any) -> ClipLoader:
        """The clips of a store, as the encoder takes them."""


class Labelled(NamedTuple):
    """Clips with labels: int64 ``rows`` ``[n]`` of a store, and the class of each, int64 ``[n]``."""

    store: Store
    rows: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Settings:
    """The defaults are those of the transfer script that Schneider et al. 2022 published for review.

    Attributes:
        lr: of Adam, for the classifier.
        backbone_rate: the encoder's learning rate as a share of ``lr``; 0 freezes it (linear probe).
        weight_decay: of Adam.
        epochs: at most so many.
        milestones, gamma: after so many epochs the learning rates are multiplied by ``gamma``.
        batch: clips in a step.
        dropout: share of the features that are dropped before the classifier.
        balanced: weight the loss of each clip by one over the size of its class.
        patience: end after so many epochs without a better validation; 0: never.
        parts: of the encoder's features (:attr:`kineme.encoders.Features.parts`) that are classified; none: its vector
            of the clip.
        join: several parts go side by side into one classifier (``concatenate``), or each has its own, and the outputs
            are averaged (``average``).
        looks: random views of each clip that a frozen encoder embeds once and for all.
        clips: evenly spaced windows of a video that are tested, if so many differ; their probabilities are averaged.
        views: how training clips are varied; T is the run's.
        video: the same where the encoder reads pictures; frames, step and size are the run's.
    """

    lr: float = 1e-3
    backbone_rate: float = 0.1
    weight_decay: float = 1e-3
    epochs: int = 250
    milestones: tuple[int, ...] = (30, 50, 100, 150)
    gamma: float = 0.1
    batch: int = 32
    dropout: float = 0.5
    balanced: bool = False
    patience: int = 40
    parts: tuple[str, ...] = ()
    join: Literal["concatenate", "average"] = "concatenate"
    looks: int = 4
    clips: int = 10
    views: ViewSettings = field(default_factory=lambda: ViewSettings(crop_low=0.5, shear=0.5, joint_jitter=0.0))
    video: VideoViewSettings = field(default_factory=VideoViewSettings)

    def __post_init__(self) -> None:
        positive(self, "finetune", "lr", "epochs", "batch", "looks", "clips")
        for name, low, high in (("backbone_rate", 0.0, np.inf), ("dropout", 0.0, 0.999), ("patience", 0, np.inf)):
            if not low <= getattr(self, name) <= high:
                raise InputError(f"finetune.{name}", f"{getattr(self, name)}", f"a number from {low} to {high}")


class Head(nn.Module):
    """Dropout, ReLU, one linear layer: ``[B, sum of widths]`` -> ``[B, K]``.

    Args:
        widths: columns of each part of the features.
        classes: K.
        settings: ``dropout`` and ``join``.
        gen: of the weights, N(0, 0.01); biases are 0.
    """

    def __init__(self, widths: Sequence[int], classes: int, settings: Settings, gen: Generator):
        super().__init__()
        self.share = settings.dropout
        self.widths = list(widths) if settings.join == "average" else [sum(widths)]
        self.layers = nn.ModuleList(skip_init(nn.Linear, width, classes) for width in self.widths)
        for layer in self.layers:
            nn.init.normal_(layer.weight, 0.0, 0.01, generator=gen)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        parts = dropout(x, self.share, self.training).relu().split(self.widths, 1)
        return torch.stack([layer(part) for layer, part in zip(self.layers, parts)]).mean(0)


class Classifier:
    """An encoder of its own with a linear classifier.

    Args:
        model: whose encoder is copied; it stays as it is.
        store: clips of the kind that will be classified, of which one is looked at.
        classes: K.
        settings: what is classified, and how.
        gen: of the classifier's weights.

    Raises:
        InputError: parts that the encoder does not have.
    """

    def __init__(self, model: Trainee, store: Store, classes: int, settings: Settings, gen: Generator):
        self.model, self.classes, self.settings = model, classes, settings
        self.encoder = copy.deepcopy(model.encoder).eval()
        self._loaders: dict[int, tuple[Store, ClipLoader]] = {}
        with torch.no_grad():
            widths = [part.shape[1] for part in self._parts(next(self._pieces(store, np.zeros(1, np.int64))))]
        self.head = Head(widths, classes, settings, gen).to(model.device).eval()

    @property
    def frozen(self) -> bool:
        """Whether the encoder stays as it was."""
        return self.settings.backbone_rate == 0

    def sees(self, store: Store) -> bool:
        """Whether the encoder looks at the pictures of these clips; one that takes poses as well does without."""
        return self.encoder.pictures and getattr(self.loader(store).store, "picture_file", None) is not None

    def at_once(self, store: Store) -> int:
        """Clips that are encoded at a time where nothing is trained; pictures take much memory."""
        return min(self.settings.batch, AT_ONCE) if self.sees(store) else AT_ONCE

    def copy(self) -> Classifier:
        """Another with the same weights; clips that are loaded are shared."""
        other = copy.copy(self)
        other.encoder, other.head = copy.deepcopy(self.encoder), copy.deepcopy(self.head)
        return other

    def modules(self) -> nn.ModuleList:
        """Encoder and classifier, to save and to average."""
        return nn.ModuleList([self.encoder, self.head])

    def encode(self, batch: Batch) -> Tensor:
        """``[B, sum of widths]``: the features that are classified."""
        return torch.cat(self._parts(batch), 1)

    @torch.inference_mode()
    def log_probabilities(self, store: Store, rows: np.ndarray, clips: int | None = None) -> np.ndarray:
        """Class log-probabilities of clips, nothing drawn: the mean of the probabilities of the tested pieces.

        Args:
            store: labels are not asked for.
            rows: int64 ``[n]``.
            clips: pieces of each video, in place of the settings'.

        Returns:
            float64 ``[n, K]``.
        """
        found = []
        for part in np.array_split(rows, -(-len(rows) // self.at_once(store))) if len(rows) else []:
            sums = [self.head(self.encode(batch)).double().softmax(1) for batch in self._pieces(store, part, clips)]
            found.append((torch.stack(sums).mean(0) + TINY).log().cpu().numpy())
        return np.concatenate(found) if found else np.zeros((0, self.classes))

    def loader(self, store: Store) -> ClipLoader:
        """The clips of a store; loaded once."""
        if id(store) not in self._loaders:
            self._loaders[id(store)] = store, self.model.loader(store)
        return self._loaders[id(store)][1]

    def view(self, store: Store, rows: Tensor, gen: Generator) -> Batch:
        """One random view of each clip, int64 ``rows`` ``[B]``."""
        if self.sees(store):
            return video_clips.video_views(self.loader(store), rows, self._video(), gen)[0]
        frames = self.model.card["crop"]["frames"]
        views = replace(self.settings.views, frames=frames, min_frames=frames)
        return augment.view(self.loader(store), rows, views, gen)

    def _pieces(self, store: Store, rows: np.ndarray, clips: int | None = None) -> Iterator[Batch]:
        """What is tested of each clip: evenly spaced windows of a video, else its middle, resized in time."""
        loader, crop, index = self.loader(store), self.model.card["crop"], torch.from_numpy(rows)
        if self.sees(store):
            video, lengths = self._video(), loader.lengths[index]
            count = min(clips or self.settings.clips, max(1, int(lengths.max()) - video.span + 1))  # those that differ
            starts = video_clips.test_clips(lengths, video.span, count)
            yield from (video_clips.middle_view(loader, index, start, video) for start in starts.unbind(1))
            return
        cut = augment.centre_crop(loader.lengths[index], crop["ratio"])
        yield loader.gather(index, cut.start, cut.length, crop["frames"])

    def _video(self) -> VideoViewSettings:
        """Views of videos, of the frames and the size that the run was trained with."""
        trained = self.model.card["recipe"]["method"].get("views", {})
        own = {name: trained[name] for name in ("frames", "step", "size") if name in trained}
        return replace(self.settings.video, views=1, **own)

    def _parts(self, batch: Batch) -> list[Tensor]:
        features = self.encoder(batch)
        missing = [name for name in self.settings.parts if name not in features.parts]
        if missing:
            raise InputError(
                "finetune.parts",
                f"{missing[0]!r}",
                f"one or more of {', '.join(features.parts)}" if features.parts else "none: this encoder has no parts",
            )
        return [features.parts[name].flatten(1) for name in self.settings.parts] or [features.clip]


def finetune(
    model: Trainee,
    store: Store,
    rows: np.ndarray,
    labels: np.ndarray,
    settings: Settings,
    gen: Generator,
    *,
    classes: int | None = None,
    validation: Labelled | None = None,
    tell: Tell | None = None,
) -> Classifier:
    """Train a copy of a model's encoder and a linear classifier on labelled clips.

    Args:
        model: an opened run.
        store: prepared as the run's.
        rows: int64 ``[n]``.
        labels: int64 ``[n]``, from 0.
        settings: see :class:`Settings`.
        gen: of weights, order, views and dropout, on the CPU. The same generator gives the same classifier.
        classes: K; by default the largest label + 1.
        validation: the weights of the epoch with the highest mean per-class accuracy here are taken (the first among
            equals by cross-entropy), and training ends early. Without it those after the last epoch.
        tell: called with a note after every epoch.

    Raises:
        InputError: fewer than two classes, labels that do not fit, a loss that is not finite, parts that the encoder
            does not have.

    Examples:
        >>> from kineme.training.finetune import Settings, finetune
        >>> labels = np.unique(store.column("label"), return_inverse=True)[1]
        >>> rows, short = np.arange(len(store)), Settings(epochs=1)
        >>> trained = finetune(model, store, rows, labels, short, torch.Generator().manual_seed(0))
        >>> trained.log_probabilities(store, rows[:3]).shape == (3, labels.max() + 1)
        True
    """
    rows, labels = np.asarray(rows, np.int64), np.asarray(labels, np.int64)
    count = int(labels.max(initial=-1)) + 1 if classes is None else classes
    if len(rows) != len(labels) or len(np.unique(labels)) < 2 or labels.min() < 0 or labels.max() >= count:
        found = f"{len(rows)} clips, {len(labels)} labels of {len(np.unique(labels))} classes"
        raise InputError("finetune", found, "a label for each clip, and two classes or more")
    classifier = Classifier(model, store, count, settings, gen)
    trainer = Trainer(classifier, gen)
    clips = Labelled(store, rows, labels)
    best: tuple[float, float] | None = None
    kept, since = None, 0
    for epoch in range(settings.epochs):
        loss = trainer.epoch([clips])
        note = f"epoch {epoch + 1} of {settings.epochs}, loss {loss:.3f}"
        if validation is not None:
            reached = quality(classifier, validation)
            since += 1
            if best is None or reached > best:
                best, kept, since = reached, copy.deepcopy(classifier.modules().state_dict()), 0
            note += f", validation {reached[0]:.3f}"
        if tell is not None:
            tell(note)
        if settings.patience and since >= settings.patience:
            break
    if kept is not None:
        classifier.modules().load_state_dict(kept)
    return classifier


class Trainer:
    """The optimiser of a classifier and its epochs.

    Args:
        classifier: trained in place; between epochs it is in evaluation mode.
        gen: of order, views and dropout.
        scale: of both learning rates.
    """

    def __init__(self, classifier: Classifier, gen: Generator, scale: float = 1.0):
        self.classifier, self.gen, settings = classifier, gen, classifier.settings
        groups = [{"params": list(classifier.head.parameters()), "lr": scale * settings.lr}]
        if not classifier.frozen:
            rate = scale * settings.lr * settings.backbone_rate
            groups.append({"params": list(classifier.encoder.parameters()), "lr": rate})
        self.optimiser = torch.optim.Adam(groups, weight_decay=settings.weight_decay)
        self.schedule = torch.optim.lr_scheduler.MultiStepLR(
            self.optimiser, [fall for fall in settings.milestones if fall > 0], settings.gamma
        )
        self._tables: dict[int, tuple[np.ndarray, Tensor]] = {}

    def epoch(self, sets: Sequence[Labelled], after: Callable[[], None] | None = None) -> float:
        """See every clip of the largest set once; each step takes as many clips of every set.

        Args:
            sets: one or more; clips of smaller ones come again.
            after: called after every step.

        Returns:
            the mean loss.

        Raises:
            InputError: a loss that is not finite.
        """
        classifier, settings, device = self.classifier, self.classifier.settings, self.classifier.model.device
        longest = max(len(each.rows) for each in sets)
        steps = -(-longest // max(1, settings.batch // len(sets)))
        orders = [self._order(len(each.rows), longest).tensor_split(steps) for each in sets]
        weights = [self._weights(each).to(device) for each in sets]
        classifier.head.train()
        classifier.encoder.train(not classifier.frozen)
        total = torch.zeros((), device=device)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(int(torch.randint(1 << 62, (1,), generator=self.gen)))  # dropout has no other generator
            for places in zip(*orders):
                outputs = classifier.head(self._features(sets, places)).split([len(place) for place in places])
                losses = [
                    cross_entropy(output, torch.from_numpy(each.labels[place.numpy()]).to(device), weight)
                    for output, each, place, weight in zip(outputs, sets, places, weights)
                ]
                loss = torch.stack(losses).mean()
                self.optimiser.zero_grad(set_to_none=True)
                loss.backward()
                self.optimiser.step()
                total += loss.detach()
                if after is not None:
                    after()
        classifier.head.eval()
        classifier.encoder.eval()
        self.schedule.step()
        mean = float(total) / steps
        if not np.isfinite(mean):
            raise InputError("finetune", "a loss that is not finite", "finite numbers", "Try a smaller lr")
        return mean

    def _features(self, sets: Sequence[Labelled], places: Sequence[Tensor]) -> Tensor:
        """``[B, D]``: of random views of the clips at these places of each set."""
        if self.classifier.frozen:
            found = [self._table(each) for each in sets]
            looks = [torch.randint(len(t), (len(p),), generator=self.gen) for t, p in zip(found, places)]
            return torch.cat([table[look, place] for table, look, place in zip(found, looks, places)])
        views = [
            self.classifier.view(each.store, torch.from_numpy(each.rows[place.numpy()]), self.gen)
            for each, place in zip(sets, places)
        ]
        return self.classifier.encode(joined(views))

    @torch.no_grad()
    def _table(self, clips: Labelled) -> Tensor:
        """``[looks, n, D]``: what a frozen encoder makes of random views of the clips."""
        known = self._tables.get(id(clips.store))
        if known is not None and np.array_equal(known[0], clips.rows):
            return known[1]
        parts = torch.from_numpy(clips.rows).split(self.classifier.at_once(clips.store))
        encoded = [
            torch.cat([self.classifier.encode(self.classifier.view(clips.store, part, self.gen)) for part in parts])
            for _ in range(self.classifier.settings.looks)
        ]
        self._tables[id(clips.store)] = clips.rows, torch.stack(encoded)
        return self._tables[id(clips.store)][1]

    def _order(self, clips: int, length: int) -> Tensor:
        """Places ``[length]`` in random order, each of ``clips`` as often as the others, or once more."""
        rounds = [torch.randperm(clips, generator=self.gen) for _ in range(-(-length // clips))]
        return torch.cat(rounds)[:length]

    def _weights(self, clips: Labelled) -> Tensor:
        """Of each class in the loss, ``[K]``: 1, or one over its size, of mean 1 over the clips."""
        if not self.classifier.settings.balanced:
            return torch.ones(self.classifier.classes)
        sizes = np.bincount(clips.labels, minlength=self.classifier.classes)
        shares = len(clips.labels) / np.maximum(sizes, 1) / np.count_nonzero(sizes)
        return torch.from_numpy(np.where(sizes, shares, 0)).float()


def joined(batches: Sequence[Batch]) -> Batch:
    """Batches of one length one after the other; absent persons are filled up."""
    persons = max(batch.joints.shape[2] for batch in batches)
    joints = [pad(b.joints, (0, 0, 0, 0, 0, persons - b.joints.shape[2])) for b in batches]
    confidence = [pad(b.confidence, (0, 0, 0, persons - b.confidence.shape[2])) for b in batches]
    pictures, sizes = (
        torch.cat(some) if (some := [x for b in batches if (x := getattr(b, name)) is not None]) else None
        for name in ("frames", "sizes")
    )
    index = torch.cat([b.index for b in batches])
    return Batch(torch.cat(joints), torch.cat(confidence), index, pictures, sizes)


def quality(classifier: Classifier, clips: Labelled) -> tuple[float, float]:
    """Mean per-class accuracy and, to tell equals apart, the negative cross-entropy."""
    found = classifier.log_probabilities(clips.store, clips.rows, 1)
    hits = found.argmax(1) == clips.labels
    per_class = [hits[clips.labels == label].mean() for label in np.unique(clips.labels)]
    return float(np.mean(per_class)), float(found[np.arange(len(found)), clips.labels].mean())
