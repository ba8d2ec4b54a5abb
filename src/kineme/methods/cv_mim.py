"""CV-MIM: two cameras' views of one pose share a pose code, and a view code holds the rest (Zhao et al. 2021)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from ..encoders import Encoder
from ..encoders.pose_mlp import Residual, limit
from ..motion import layout as skeleton
from ..motion.layout import Layout
from ..motion.normalise import describe
from ..nn.batch_norm import BatchNorm
from ..nn.init import he_normal, xavier_uniform
from ..nn.matmul import Linear, product
from ..nn.mutual_information import (
    club,
    discriminator_loss,
    fenchel,
    generator_loss,
    gradient_penalty,
    log_likelihood,
)
from ..nn.precision import full_precision
from ..utils.distributed import gather_together
from ..utils.errors import InputError
from ..views import keypoints
from ..views.batch import Batch
from ..views.pose_pairs import Pairs
from ..views.random_cameras import CameraSettings
from ..views.source import ClipLoader
from . import Method, NewEncoder, StepContext, generator
from . import _cv_mim_variants as variants
from ._cv_mim_variants import Decoder, Estimator, Gaussian, Side

SIDE = "pose13"  # what the encoder is given: 2-D joints as a camera sees them
SCAN = 1 << 16  # frames looked at in one go for who is seen
CALIBRATE = 64, 256  # batches, and frames in each, from which the untrained encoder takes its batch-norm statistics
GROUPS = {"encoder": ("net", "sub", "decoder"), "estimator": ("intra", "inter"), "discriminator": ("discriminator",)}


class CVMIM(Method):
    """Cross-view mutual information maximisation (Zhao et al. 2021).

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

        def __post_init__(self) -> None:
            high = {"p_recorded_view": 1.0}
            for name in ("w_cross", "w_prior", "w_disentangle", "w_swap", "w_kl", "positive_radius", "p_recorded_view"):
                value, most = getattr(self, name) or 0.0, high.get(name, float("inf"))
                if not 0 <= value <= most:
                    raise InputError(f"method.{name}", f"{value}", f"0 to {most}" if name in high else "0 or more")

    def __init__(self, settings: Settings, new_encoder: NewEncoder):
        super().__init__()
        self.settings, self.net = settings, variants.checked(new_encoder(), settings)
        self.swap = (5.0 if settings.variant == "infomax" else 0.0) if settings.w_swap is None else settings.w_swap
        dim, wide = self.net.dim, self.net.codes_dim
        if settings.variant == "autoencoder":
            self.decoder = Decoder(self.net)
        else:
            self.sub = Residual(
                self.net.settings, wide if settings.fusion == "cat" and settings.variant != "align" else dim
            )
            he_normal(self.sub)
        if settings.variant == "disentangle":
            self.intra, self.inter = Estimator(dim), Estimator(dim)
            self.discriminator = nn.Sequential(
                Linear(wide, wide), nn.ReLU(), Linear(wide, dim), nn.ReLU(), Linear(dim, 1)
            )
            xavier_uniform(self.discriminator, zero_bias=True)
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
            InputError: there is none; or as :class:`~kineme.views.pose_pairs.Pairs`.
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
        """Both sides through the encoder, each with batch statistics of its own; then :meth:`objective` on the pairs of
        all processes, the same in each of them.
        """
        a, p = self.sides(*views[:2])
        return self.gathered_objective(a, p, [view.joints.flatten(1) for view in views[2:]], step)

    @full_precision
    def gathered_objective(
        self, a: Side, p: Side, bodies: list[Tensor], step: StepContext
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Estimates here, then everything from all processes, and the noise of this step."""
        if self.settings.variant == "autoencoder":
            return variants.autoencoder(self, a, p)
        guesses = self.guesses(a, p) if self.settings.variant == "disentangle" else []
        estimates = [value for guess in guesses for value in guess]
        sides, estimates, bodies = gather_together(step.dist, [*a, *p], estimates, bodies)
        a, p = Side(*sides[: len(a)]), Side(*sides[len(a) :])
        guesses = [Gaussian(*pair) for pair in zip(estimates[::2], estimates[1::2])]
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
        if self.settings.variant != "disentangle":
            return variants.OBJECTIVES[self.settings.variant](self, a, p, indicator)
        L, U, F = self.lower(indicator), partial(club, indicator=indicator), self.fuse
        va_of_za, vp_of_zp, vp_of_va, *va_of_vp = guesses
        real = noise.flatten(0, 1).requires_grad_()
        fake = torch.cat([torch.cat([side.pose, side.view], 1) for side in (a, p)]).sigmoid()
        d_real, d_fake = self.discriminator(real), self.discriminator(fake)

        terms = {"representation": L(a.local, F(a.pose, a.view)) + L(p.local, F(p.pose, p.view))}  # R
        if self.swap:
            terms["swap"] = L(a.local, F(p.pose, a.view)) + L(p.local, F(a.pose, p.view))
        terms["cross"] = L(a.pose, p.pose)  # V
        terms["prior"] = 2 * generator_loss(d_fake)  # S: a mean over both sides, twice, is the sum of two means
        terms["intra"] = U(*va_of_za, a.view) + U(*vp_of_zp, p.view)  # I
        crossed = [(vp_of_va, p.view), *((guess, a.view) for guess in va_of_vp)]  # J; released: one direction only
        terms["inter"] = 2 * torch.stack([U(*guess, view) for guess, view in crossed]).mean()

        fit = log_likelihood(*va_of_za, a.view) + log_likelihood(*vp_of_zp, p.view)
        fit = fit + 2 * torch.stack([log_likelihood(*guess, view) for guess, view in crossed]).mean()
        penalty = gradient_penalty(real, d_real) + gradient_penalty(fake, d_fake)
        others = {"estimator": -fit, "discriminator": 2 * discriminator_loss(d_real, d_fake, penalty)}
        return self.weighted(a, p, terms, others)

    def lower(self, indicator: Tensor | None) -> Callable[[Tensor, Tensor], Tensor]:
        """L: the negative lower bound of mutual information, of the divergence that is set."""
        return partial(fenchel, divergence=self.settings.divergence, indicator=indicator)

    def fuse(self, pose: Tensor, view: Tensor) -> Tensor:
        """F: one description of a frame from its two codes ``[B, D]``, of twice the width for ``cat``."""
        fusion = self.settings.fusion
        if fusion == "cat":
            return torch.cat([pose, view], -1)
        return pose * view if fusion == "poe" else 0.5 * (pose + view)

    def weighted(
        self, a: Side, p: Side, terms: dict[str, Tensor], others: dict[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The encoder's loss from its terms, beside those of the other groups; unweighted terms for the log."""
        s = self.settings
        w = {"cross": s.w_cross, "prior": s.w_prior, "swap": self.swap, "kl": s.w_kl}
        w |= {"intra": s.w_disentangle, "inter": s.w_disentangle}
        if self.net.settings.embedder == "gaussian":
            terms["kl"] = a.kl.mean() + p.kl.mean()
        total = torch.stack([w.get(name, 1.0) * term for name, term in terms.items()]).sum()
        log = {name: term.detach() for name, term in terms.items()}
        nearest = product(a.pose.detach(), p.pose.detach().T).argmax(1)
        log["accuracy"] = (nearest == torch.arange(len(nearest), device=nearest.device)).float().mean()
        return {"encoder": total, **others}, log

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
