"""CV-MIM: two cameras' views of one pose share a pose code, and a view code holds the rest (Zhao et al. 2021)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..encoders import Encoder
from ..encoders.pose_mlp import Layer, PoseMLP, Residual, limit
from ..motion import layout as skeleton
from ..motion.layout import Layout
from ..motion.normalise import describe
from ..nn import mutual_information
from ..nn.batch_norm import BatchNorm
from ..nn.init import he_normal
from ..utils.distributed import ProcessGroup
from ..utils.errors import InputError
from ..views import keypoints
from ..views.batch import Batch
from ..views.pose_pairs import Pairs
from ..views.random_cameras import CameraSettings
from ..views.source import ClipLoader
from . import Method, NewEncoder, StepContext, generator

SIDE = "pose13"  # what the encoder is given: 2-D joints as a camera sees them
SCAN = 1 << 16  # frames looked at in one go for who is seen
CALIBRATE = 64, 256  # batches, and frames in each, from which the untrained encoder takes its batch-norm statistics
GROUPS = {"encoder": ("net", "sub", "decoder"), "estimator": ("intra", "inter"), "discriminator": ("discriminator",)}


class Gaussian(NamedTuple):
    """An estimate: ``mean`` and ``logvar``, ``[B, D]``."""

    mean: Tensor
    logvar: Tensor


class Estimator(nn.Module):
    """A diagonal Gaussian of one code given another, ``[B, D]`` (spec, 2.4)."""

    def __init__(self, dim: int):
        super().__init__()
        self.mean, self.logvar = (
            nn.Sequential(nn.Linear(dim, dim), BatchNorm(dim, eps=1e-3, momentum=0.01), nn.ELU(), nn.Linear(dim, dim))
            for _ in range(2)
        )
        for net in (self.mean, self.logvar):
            net[0].bias.requires_grad_(False)  # type: ignore[union-attr] # the norm takes it off again
        _glorot(self)

    def forward(self, *sides: Tensor) -> list[Gaussian]:
        """An estimate from each side ``[B, D]``, each with batch statistics of its own."""
        x = torch.stack(sides, 1)
        mean, logvar = (out(act(norm(first(x), True))) for first, norm, act, out in (self.mean, self.logvar))
        return [Gaussian(*both) for both in zip(mean.unbind(1), logvar.tanh().unbind(1))]


class Decoder(nn.Module):
    """The encoder's shape from both codes back to the joints, for the variant ``autoencoder``."""

    def __init__(self, encoder: PoseMLP):
        super().__init__()
        self.first = Layer(encoder.codes_dim, encoder.settings)
        self.rest = Residual(encoder.settings, encoder.inputs)
        he_normal(self)

    def forward(self, codes: Tensor) -> Tensor:
        """Joints ``[B, inputs]`` of codes ``[B, 2 D]``."""
        return self.rest(self.first(codes))


class Side(NamedTuple):
    """What is known of one side of all pairs.

    Attributes:
        pose, view: codes ``[B, D]``; the view code has no width under ``align``.
        kl: ``[B]`` of Gaussian codes, else 0.
        inputs: normalised joints ``[B, 26]``, and what the encoder sees beside them.
        local: the sub-encoder's output ``[B, D]``, of twice the width for the fusion ``cat``, of none under
            ``autoencoder``.
    """

    pose: Tensor
    view: Tensor
    kl: Tensor
    inputs: Tensor
    local: Tensor


class CVMIM(Method):
    """Cross-view mutual information maximisation (spec ``cv_mim.md``, sections 3 and 6).

    An anchor a and a positive p are two cameras' views of one pose, each with codes z (pose) and v (view), and h, a
    second description of the same frame by the sub-encoder. With L the (negative) Jensen-Shannon lower bound over the
    batch, F the fusion of both codes, U the CLUB upper bound, D a discriminator against uniform noise:

    * representation ``R = L(h_a, F(z_a, v_a)) + L(h_p, F(z_p, v_p))``; cross-view ``V = L(z_a, z_p)``;
    * prior ``S = mean softplus(-D(z_a, v_a)) + mean softplus(-D(z_p, v_p))``;
    * intra-view ``I = U(v_a; z_a) + U(v_p; z_p)``; inter-view ``J = U(v_p; v_a) + U(v_a; v_p)``.

    The encoder minimises ``R + 10 V + S + (I + J) / 2`` (and the divergence of Gaussian codes), estimators and
    discriminator their own losses: three groups of parameters, one forward pass.
    """

    unit = "frame"
    encoder_name = "pose_mlp"

    @dataclass(frozen=True)
    class Settings:
        """Published values.

        Attributes:
            variant: ``disentangle`` as above; ``infomax``: R and the swapped term; ``align``: no view code (the encoder
                must have none), L(h, z) and V; ``autoencoder``: a decoder gives back each side from its own view code
                and either pose code.
            fusion: mean, product or concatenation of pose and view code.
            divergence: whose dual L is.
            w_cross: weight of V; the released 5 has a hidden factor of 2.
            w_prior: weight of S.
            w_disentangle: weight of I and of J.
            w_swap: weight of ``L(h_a, F(z_p, v_a)) + L(h_p, F(z_a, v_p))``; None = 5 under ``infomax``, else 0.
            w_kl: weight of the divergence of Gaussian codes from the unit normal.
            positive_radius: other poses that are nearer than this are positives too (0 = none): mean joint error of
                the normalised joints in the image, or, with ``positive_metric`` "3d", of the bodies after Procrustes
                alignment.
            cameras: how the cameras are drawn that look at 3-D poses.
            p_recorded_view: probability that a side of a 3-D pose is what its own sensor saw (sensor frames only); the
                positive is then another sensor's record of the same moment where there is one.
            faithful: J in one direction only, from anchor to positive; running variances from biased ones; cameras stay
                where they are when a limb reaches them.

        Raises:
            InputError: a value outside its range.
        """

        RENAMED: ClassVar = {
            "cross": "w_cross",
            "prior": "w_prior",
            "leak": "w_disentangle",
            "swap": "w_swap",
            "regularise": "w_kl",
            "alike": "positive_radius",
            "alike_by": "positive_metric",
            "sensor": "p_recorded_view",
        }

        variant: Literal["disentangle", "infomax", "align", "autoencoder"] = "disentangle"
        fusion: Literal["moe", "poe", "cat"] = "moe"
        divergence: Literal["JSD", "GAN", "KL", "RKL", "H2", "W1"] = "JSD"
        w_cross: float = 10.0
        w_prior: float = 1.0
        w_disentangle: float = 0.5
        w_swap: float | None = None
        w_kl: float = 1.0
        positive_radius: float = 0.0
        positive_metric: Literal["2d", "3d"] = "2d"
        cameras: CameraSettings = field(default_factory=CameraSettings)
        p_recorded_view: float = 0.0
        faithful: bool = False

        def __post_init__(self):
            high = {"p_recorded_view": 1.0}
            for name in ("w_cross", "w_prior", "w_disentangle", "w_swap", "w_kl", "positive_radius", "p_recorded_view"):
                value, most = getattr(self, name) or 0.0, high.get(name, float("inf"))
                if not 0 <= value <= most:
                    raise InputError(f"method.{name}", f"{value}", f"0 to {most}" if name in high else "0 or more")

    def __init__(self, settings: Settings, new_encoder: NewEncoder):
        super().__init__()
        self.settings, self.net = settings, _checked(new_encoder(), settings)
        self.fusion = "none" if settings.variant == "align" else settings.fusion
        self.swap = (5.0 if settings.variant == "infomax" else 0.0) if settings.w_swap is None else settings.w_swap
        dim, wide = self.net.dim, self.net.codes_dim
        if settings.variant == "autoencoder":
            self.decoder = Decoder(self.net)
        else:
            self.sub = Residual(self.net.settings, wide if self.fusion == "cat" else dim)
            he_normal(self.sub)
        if settings.variant == "disentangle":
            self.intra, self.inter = Estimator(dim), Estimator(dim)
            self.discriminator = nn.Sequential(
                nn.Linear(wide, wide), nn.ReLU(), nn.Linear(wide, dim), nn.ReLU(), nn.Linear(dim, 1)
            )
            _glorot(self.discriminator)
        for norm in self.modules():
            if isinstance(norm, BatchNorm):
                norm.biased = settings.faithful
        self._known: Pairs | None = None  # of the source in use

    # ---- what it sees

    @classmethod
    def sees(cls, layout: Layout, coords: int, normalise: dict[str, Any]) -> tuple[Layout, int, dict[str, Any]]:
        """The 13 joints of the 2-D profile in the image, whatever the poses are that it is trained on.

        Raises:
            InputError: a layout without shoulders or hips.
        """
        keypoints.taken(layout, coords)
        side = skeleton.layout(SIDE)
        return side, 2, describe("image", side, 2)

    def items(self, source: ClipLoader, rows: Tensor) -> Tensor:
        """The frames of the clips ``rows`` in which the trunk of person 0 is seen; 2-D ones also by another camera.

        Raises:
            InputError: there is none; or as :class:`~kineme.pairs.Pairs`.
        """
        pairs = self._pairs(source)
        found = torch.cat([some[pairs.usable(some)] for some in source.frame_numbers(rows).split(SCAN)])
        if len(found):
            return found
        if pairs.flat:
            raise InputError(
                pairs.where,
                "2-D poses that no second camera saw at the same time",
                "3-D poses, or 2-D ones of synchronous cameras (clips of one length with the same performance and "
                "different cameras in their columns)",
                "3-D poses: kineme prepare SRC DEST --normalise none",
            )
        raise InputError(pairs.where, "no frame in which shoulders and hips are seen", "poses of bodies")

    def look(self, source: ClipLoader, rows: Tensor) -> Iterator[Batch]:
        """Frames of the clips ``rows``, evenly over them, as random cameras see them, or as they were recorded."""
        pairs, (many, size) = self._pairs(source), CALIBRATE
        numbers = source.frame_numbers(rows)
        numbers = numbers[:: max(1, len(numbers) // (many * size))]
        gen = generator("look", len(numbers))
        for some in numbers.split(size):
            if len(some) > 1 or len(numbers) == 1:
                yield pairs.views(pairs.draw_views(some, gen))

    def views(self, source: ClipLoader, index: Tensor, gen: torch.Generator) -> tuple[Batch, ...]:
        """Both sides of the pairs of the frames ``index [B]``, ``[B, 1, 1, 13, 2]`` each; for ``positive_metric``
        "3d" also the bodies themselves, ``[B, 1, 1, V, 3]``.
        """
        pairs = self._pairs(source)
        both = pairs.views(pairs.draw(index, gen))
        views = both[: len(index)], both[len(index) :]
        if not self.settings.positive_radius or self.settings.positive_metric == "2d":
            return views
        if pairs.flat:
            raise InputError("method.positive_metric", "3d, of 2-D poses", "2d")
        return *views, pairs.bodies(index)

    def _pairs(self, source: ClipLoader) -> Pairs:
        if self._known is None or self._known.source is not source:
            s = self.settings
            self._known = Pairs(
                source, replace(s.cameras, min_depth=0.0) if s.faithful else s.cameras, s.p_recorded_view
            )
        return self._known

    # ---- what it minimises

    def losses(self, views: tuple[Batch, ...], step: StepContext) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Both sides through the encoder, each with batch statistics of its own; then :meth:`objective` on the
        pairs of all processes, the same in each of them.
        """
        a, p = self.sides(*views[:2])
        with torch.autocast(a.pose.device.type, enabled=False):  # losses stay fp32
            if self.settings.variant == "autoencoder":
                return self.reconstruction(a, p)
            guesses = self.guesses(a, p) if self.settings.variant == "disentangle" else []
            bodies = [view.joints.flatten(1) for view in views[2:]]
            sides, said, bodies = gathered(step.dist, [*a, *p], [x for guess in guesses for x in guess], bodies)
            a, p = Side(*sides[: len(a)]), Side(*sides[len(a) :])
            guesses = [Gaussian(*pair) for pair in zip(said[::2], said[1::2])]
            noise = torch.rand(2, len(a.pose), self.net.codes_dim, generator=step.generator("uniform"))
            return self.objective(a, p, guesses, noise.to(a.pose.device), self.alike(a, p, *bodies))

    def sides(self, *views: Batch) -> list[Side]:
        """Codes and local features of each view; the sub-encoder shares the encoder's first layer, dropout included."""
        inputs = torch.stack([self.net.input(view)[:, 0] for view in views], 1)
        stem = self.net.stem(inputs, apart=True)
        codes = self.net.codes(stem, apart=True)
        local = codes.pose[..., :0] if self.settings.variant == "autoencoder" else self.sub(stem, apart=True)
        return [Side(*parts) for parts in zip(*(x.float().unbind(1) for x in (*codes, inputs, local)))]

    def guesses(self, a: Side, p: Side) -> list[Gaussian]:
        """What the estimators say of the view codes of anchor and positive from their own pose codes, and of the
        positive's from the anchor's (and back, unless ``faithful``).
        """
        return self.intra(a.pose, p.pose) + self.inter(*([a.view] if self.settings.faithful else [a.view, p.view]))

    def objective(
        self, a: Side, p: Side, guesses: Sequence[Gaussian], noise: Tensor, indicator: Tensor | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The losses of all groups, and their terms (without weights) for the log.

        Args:
            a, p: both sides of all pairs.
            guesses: estimates as :meth:`guesses` gives them; none but under ``disentangle``.
            noise: ``[2, B, 2 D]`` on (0, 1).
            indicator: ``[B, B]``, 1 where another row is a positive too; None = the identity.
        """
        s, losses = self.settings, {}
        bound = partial(mutual_information.fenchel, divergence=s.divergence, indicator=indicator)
        upper = partial(mutual_information.club, indicator=indicator)
        aa, ap, pa, pp = (fuse(z.pose, v.view, self.fusion) for z in (a, p) for v in (a, p))
        terms = {"representation": bound(a.local, aa) + bound(p.local, pp)}
        if self.swap:
            terms["swap"] = bound(a.local, pa) + bound(p.local, ap)
        if s.variant != "infomax":
            terms["cross"] = bound(a.pose, p.pose)
        if s.variant == "disentangle":
            fits = list(zip(guesses, (a.view, p.view, p.view, a.view)))
            bounds, known = ([f(*guess, y) for guess, y in fits] for f in (upper, mutual_information.log_likelihood))
            real = noise.flatten(0, 1).requires_grad_()
            fake = torch.cat([torch.cat([side.pose, side.view], 1) for side in (a, p)]).sigmoid()
            true, false = self.discriminator(real), self.discriminator(fake)
            penalty = mutual_information.gradient_penalty(real, true) + mutual_information.gradient_penalty(fake, false)
            # a mean over both sides, twice, is the sum of two means
            terms["prior"] = 2 * mutual_information.generator_loss(false)
            terms["intra"], terms["inter"] = bounds[0] + bounds[1], 2 * torch.stack(bounds[2:]).mean()
            losses["estimator"] = -(known[0] + known[1] + 2 * torch.stack(known[2:]).mean())
            losses["discriminator"] = 2 * mutual_information.discriminator_loss(true, false, penalty)
        return self._total(a, p, terms, losses)

    def reconstruction(self, a: Side, p: Side) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The variant ``autoencoder``: mean squared errors of both sides, each decoded from its own view code with its
        own and with the other's pose code.
        """
        pairs = [(z, v) for z in (a, p) for v in (a, p)]
        made = self.decoder(torch.cat([torch.cat([z.pose, v.view], 1) for z, v in pairs]))
        error = 4 * F.mse_loss(made, torch.cat([v.inputs for _, v in pairs]))  # the sum of four
        return self._total(a, p, {"reconstruction": error}, {})

    def _total(
        self, a: Side, p: Side, terms: dict[str, Tensor], losses: dict[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        s = self.settings
        weights = {
            "cross": s.w_cross,
            "prior": s.w_prior,
            "intra": s.w_disentangle,
            "inter": s.w_disentangle,
            "swap": self.swap,
        }
        if self.net.settings.embedder == "gaussian":
            terms["kl"], weights["kl"] = a.kl.mean() + p.kl.mean(), s.w_kl
        total = torch.stack([weights.get(name, 1.0) * term for name, term in terms.items()]).sum()
        log = {name: term.detach() for name, term in terms.items()}
        nearest = (a.pose @ p.pose.T).detach().argmax(1)
        log["accuracy"] = (nearest == torch.arange(len(nearest), device=nearest.device)).float().mean()
        return {"encoder": total, **losses}, log

    @torch.no_grad()
    def alike(self, a: Side, p: Side, bodies: Tensor | None = None) -> Tensor | None:
        """The positives ``[B, B]`` under ``positive_radius``, by distances made symmetric; None = the identity.

        Args:
            bodies: ``[B, 3 V]``, for distances in 3-D.
        """
        if not self.settings.positive_radius:
            return None
        if bodies is not None:
            x = bodies.unflatten(1, (-1, 3))
            apart = keypoints.pa_mpjpe(x[:, None], x)
        else:
            x, y = (side.inputs.unflatten(1, (keypoints.JOINTS, -1))[..., :2] for side in (a, p))
            apart = keypoints.mpjpe(x[:, None], y)
        near = (apart + apart.T) / 2 < self.settings.positive_radius
        return near.fill_diagonal_(True).to(a.pose)

    # ---- what the loop asks for

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Encoder with sub-encoder or decoder; estimators; discriminator. Biases before a batch norm are in none."""
        rooms = {name: [getattr(self, x) for x in parts if hasattr(self, x)] for name, parts in GROUPS.items()}
        return {
            name: [weight for part in parts for weight in part.parameters() if weight.requires_grad]
            for name, parts in rooms.items()
            if parts
        }

    def after_step(self, step: StepContext) -> None:
        """The encoder's ``max_norm``."""
        if self.net.settings.max_norm:
            for part in GROUPS["encoder"]:
                if hasattr(self, part):
                    limit(getattr(self, part), self.net.settings.max_norm)

    def encoder(self) -> Encoder:
        return self.net


def fuse(pose: Tensor, view: Tensor, how: str) -> Tensor:
    """One description of a frame from its two codes ``[B, D]``: ``moe`` mean, ``poe`` product, ``cat`` ``[B, 2 D]``,
    ``none`` the pose code.
    """
    if how == "cat":
        return torch.cat([pose, view], -1)
    if how == "none":
        return pose
    return pose * view if how == "poe" else 0.5 * (pose + view)


def gathered(world: ProcessGroup, *groups: Sequence[Tensor]) -> list[list[Tensor]]:
    """Rows ``[B, ...]`` of all processes with gradient, all tensors of all groups in one go."""
    if world.size == 1:
        return [list(group) for group in groups]
    rows = [x for group in groups for x in group]
    widths = [math.prod(x.shape[1:]) for x in rows]
    flat = world.gather_with_grad(torch.cat([x.reshape(len(x), wide) for x, wide in zip(rows, widths)], 1))
    parts = iter(part.reshape(len(flat), *x.shape[1:]) for part, x in zip(flat.split(widths, 1), rows))
    return [[next(parts) for _ in group] for group in groups]


def _checked(encoder: Encoder, s: CVMIM.Settings) -> PoseMLP:
    if not isinstance(encoder, PoseMLP):
        raise InputError("encoder.name", type(encoder).__name__.lower(), "pose_mlp, for what it contrasts")
    if encoder.settings.view == (s.variant == "align"):
        wanted = "false: align has one code" if s.variant == "align" else f"true: {s.variant} has two codes"
        raise InputError("encoder.view", f"{encoder.settings.view}".lower(), wanted)
    if s.w_kl != 1 and encoder.settings.embedder == "point":
        warnings.warn("method.w_kl acts on Gaussian codes only (encoder.embedder=gaussian)", stacklevel=3)
    return encoder


def _glorot(module: nn.Module) -> None:
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
