"""Lab 03: solutions, right variants, and known mistakes with the words that each must be told (see test_checks.py)."""

import math
from collections import Counter

import numpy as np
import torch
import torch.nn.functional as F
from notebook_source import namespace
from scipy.stats import entropy
from torch import nn
from torch.distributions import Categorical, kl_divergence

from labkit.check import gan as check  # noqa: F401 - read by test_checks.py

LAB = "03_gan_pathologies"
SOLUTIONS = namespace(
    LAB, "generator-losses", "discriminator-loss", "mode-coverage", "pack", "conditional-discriminator", "slerp"
)
CHECKS = ["generator_losses", "discriminator_loss", "mode_coverage", "pack", "ConditionalDiscriminator", "slerp"]


def ln_d(a):
    return -F.softplus(-a)


def ln_not_d(a):
    return -F.softplus(a)


def game(sat=None, ns=None, pair=lambda sat, ns: (sat, ns)):
    """A wrong `generator_losses`: sat and ns are functions of the logits."""

    def f(fake_logits):
        right = SOLUTIONS["generator_losses"](fake_logits)
        return pair(sat(fake_logits) if sat else right[0], ns(fake_logits) if ns else right[1])

    return f


def bce(a, target):
    return F.binary_cross_entropy_with_logits(a, torch.as_tensor(target, dtype=a.dtype).expand_as(a), reduction="none")


def judged(real=None, fake=None, total=lambda real, fake: real + fake):
    """A wrong `discriminator_loss`: real (logits, smooth) and fake (logits, smooth) give the loss of each image."""

    def f(real_logits, fake_logits, smooth=1.0):
        r = real(real_logits, smooth) if real else bce(real_logits, smooth)
        g = fake(fake_logits, smooth) if fake else bce(fake_logits, 0.0)
        return total(r.mean(-1), g.mean(-1))

    return f


def together(real_logits, fake_logits, smooth=1.0):
    return torch.cat([bce(real_logits, smooth), bce(fake_logits, 0.0)], -1).mean(-1)


def one_target(real_logits, fake_logits, smooth=1.0):
    y = torch.ones_like(real_logits)
    loss = F.binary_cross_entropy_with_logits
    return loss(real_logits, smooth * y, reduction="none").mean(-1) + loss(fake_logits, 0 * y, reduction="none").mean(-1)


def sum_first(real_logits, fake_logits, smooth=1.0):
    return (bce(real_logits, smooth) + bce(fake_logits, 0.0)).mean(-1)


def float_only(real_logits, fake_logits, smooth=1.0):
    y = torch.full_like(real_logits, float(smooth))
    return judged(lambda a, s: bce(a, y))(real_logits, fake_logits)


def if_smooth(real_logits, fake_logits, smooth=1.0):
    return judged()(real_logits, fake_logits, smooth if smooth < 1 else 1.0)


def one_arm(which):
    def f(real_logits, fake_logits, smooth=1.0):
        return judged()(real_logits, fake_logits, which(torch.as_tensor(smooth, dtype=real_logits.dtype).flatten()))

    return f


def naive_real(a, s):
    return -s * a.sigmoid().log() - (1 - s) * (1 - a.sigmoid()).log()


def clipped(a, s):
    p = a.sigmoid().clamp(1e-7, 1 - 1e-7)
    return -s * p.log() - (1 - s) * (1 - p).log()


def negated(real_logits, fake_logits, smooth=1.0):
    return -SOLUTIONS["discriminator_loss"](real_logits, fake_logits, smooth)


def over_all_nets(real_logits, fake_logits, smooth=1.0):
    return SOLUTIONS["discriminator_loss"](real_logits, fake_logits, smooth).mean()


def same_for_all_nets(real_logits, fake_logits, smooth=1.0):
    right = SOLUTIONS["discriminator_loss"](real_logits, fake_logits, smooth)
    return right.mean() if right.ndim == 0 or torch.is_tensor(smooth) else right.mean().expand(right.shape)


def shares(labels, n_classes):
    return np.bincount(np.asarray(labels), minlength=n_classes) / len(labels)


def ln(q):
    return np.log(np.where(q > 0, q, 1))


def covered(modes=None, kl=None, pair=lambda modes, kl: (modes, kl)):
    """A wrong `mode_coverage`: modes (q, at_least) and kl (q, n_classes, labels) work on the shares q."""

    def f(labels, n_classes=10, at_least=0.01):
        q = shares(labels, n_classes)
        right = (q >= at_least).sum(), entropy(q, np.full(n_classes, 1 / n_classes))
        return pair(modes(q, at_least) if modes else right[0], kl(q, n_classes, np.asarray(labels)) if kl else right[1])

    return f


def kl_of_tall(q, n, labels):
    tall = q[q >= 0.01]
    return (tall * np.log(tall * n)).sum()


def kl_of_tall_alone(q, n, labels):
    tall = q[q >= 0.01] / q[q >= 0.01].sum()
    return (tall * np.log(tall * n)).sum()


def only_present(q, n, labels):
    present = q[q > 0]
    return (present * np.log(present * len(present))).sum()


def no_minlength(q, n, labels):
    counts = np.bincount(labels)
    return entropy(counts, np.full(len(counts), 1 / len(counts)))


def laplace(q, n, labels):
    q = (q * len(labels) + 1) / (len(labels) + n)
    return (q * np.log(q * n)).sum()


def quiet(f):
    def g(*args):
        with np.errstate(all="ignore"):
            return f(*args)

    return g


def tensor_only(labels, n_classes=10, at_least=0.01):
    return SOLUTIONS["mode_coverage"](labels.long(), n_classes, at_least)


def numpy_only(labels, n_classes=10, at_least=0.01):
    return SOLUTIONS["mode_coverage"](labels.astype(int), n_classes, at_least)


def by_counter(labels, n_classes=10, at_least=0.01):
    counts = Counter(labels)
    q = np.array([counts[k] for k in range(n_classes)]) / len(labels)
    return (q >= at_least).sum(), (q * (ln(q) + np.log(n_classes))).sum()


def counter_values(labels, n_classes=10, at_least=0.01):
    q = np.array(list(Counter(labels).values())) / len(labels)
    return (q >= at_least).sum(), (q * np.log(q * n_classes)).sum()


def full(x, pac):
    """Images up to the last full group, (..., groups, pac, P)."""
    n = x.shape[-2] // pac
    return x[..., : n * pac, :].reshape(*x.shape[:-2], n, pac, x.shape[-1])


def nets_mixed(x, pac):
    """Wrong only for stacked nets with images left over."""
    *lead, b, p = x.shape
    n = b // pac
    return x.flatten(0, -2)[: math.prod(lead) * n * pac].reshape(*lead, n, pac * p)


def padded(x, pac):
    missing = -x.shape[-2] % pac
    return full(torch.cat([x, x[..., :missing, :]], -2), pac).flatten(-2)


def overlapping(x, pac):
    n = x.shape[-2] // pac
    return torch.cat([x[..., i : i + n, :] for i in range(pac)], -1)


def rolled(x, pac):
    return torch.cat([x.roll(i, -2) for i in range(pac)], -1)


def shuffled(x, pac):
    return full(x[..., torch.randperm(x.shape[-2]), :], pac).flatten(-2)


def chunks(x, pac):
    n = x.shape[-2] // pac
    return torch.cat([x[..., i * n : (i + 1) * n, :] for i in range(pac)], -1)


def in_rows(x, pac):
    *lead, b, p = x.shape
    return x[..., : b - b % pac, :].reshape(*lead, b // pac, pac * p)


def branch(n, width):
    return nn.Sequential(nn.Linear(n, width), nn.LeakyReLU(0.2))


class Right(nn.Module):
    """The class asked for, with parts to replace."""

    def __init__(self, pixels, conditions, width):
        super().__init__()
        self.a, self.b = branch(pixels, width), branch(conditions, width)
        self.joint = nn.Sequential(nn.Linear(2 * width, width), nn.LeakyReLU(0.2), nn.Linear(width, 1))

    def forward(self, x, c):
        return self.end(self.joint(torch.cat([self.left(x), self.right(c)], -1)))

    def left(self, x):
        return self.a(x)

    def right(self, c):
        return self.b(c)

    def end(self, logits):
        return logits.squeeze(-1)


def net(**methods):
    return type("Net", (Right,), {"__init__": Right.__init__, **methods})


def end(f):
    return net(end=lambda self, logits: f(logits.squeeze(-1)))


class Added(Right):
    """An additive D: one logit from x, another from c."""

    def __init__(self, pixels, conditions, width):
        nn.Module.__init__(self)
        self.a, self.b = (nn.Sequential(branch(n, width), nn.Linear(width, 1)) for n in (pixels, conditions))

    def forward(self, x, c):
        return (self.a(x) + self.b(c)).squeeze(-1)


class LinearEnd(Right):
    def __init__(self, pixels, conditions, width):
        super().__init__(pixels, conditions, width)
        self.joint = nn.Sequential(nn.Linear(2 * width, width), nn.Linear(width, 1))


class BatchNormed(Right):
    def __init__(self, pixels, conditions, width):
        super().__init__(pixels, conditions, width)
        self.joint = nn.Sequential(nn.Linear(2 * width, width), nn.BatchNorm1d(width), nn.LeakyReLU(0.2), nn.Linear(width, 1))


class OneNumber(Right):
    def __init__(self, pixels, conditions, width):
        super().__init__(pixels, 1, width)

    def right(self, c):
        return self.b(c.argmax(-1, keepdim=True).to(c.dtype))


class Embedded(Right):
    def __init__(self, pixels, conditions, width):
        super().__init__(pixels, conditions, width)
        self.b = nn.Embedding(conditions, width)

    def right(self, c):
        return self.b(c.argmax(-1))


class Counted(Right):
    def __init__(self, pixels, conditions, width):
        super().__init__(pixels, 1, width)

    def right(self, c):
        return self.b(c.sum(-1, keepdim=True))


class FixedSizes(Right):
    def __init__(self, pixels, conditions, width):
        super().__init__(784, 10, width)


class HalfJoint(Right):
    def __init__(self, pixels, conditions, width):
        super().__init__(pixels, conditions, width)
        self.joint = nn.Sequential(nn.Linear(width, width), nn.LeakyReLU(0.2), nn.Linear(width, 1))


class AlongBatch(HalfJoint):
    def forward(self, x, c):
        return self.joint(torch.cat([self.a(x), self.b(c)], 0)).squeeze(-1)


class AsInTheStub(Right):
    """Along the batch, into a layer for both branches."""

    def forward(self, x, c):
        return self.joint(torch.cat([self.a(x), self.b(c)])).squeeze(-1)


class WithoutForward(nn.Module):
    def __init__(self, pixels, conditions, width):
        super().__init__()
        self.a = branch(pixels, width)


class InList(Right):
    """The condition's branch is hidden from the optimiser."""

    def __init__(self, pixels, conditions, width):
        super().__init__(pixels, conditions, width)
        self.b = None
        self.hidden = [branch(conditions, width)]

    def right(self, c):
        return self.hidden[0](c)


class MadeInForward(Right):
    def left(self, x):
        return nn.Linear(x.shape[-1], 8)(x).relu() + self.a(x)


class Unused(Right):
    def __init__(self, pixels, conditions, width):
        super().__init__(pixels, conditions, width)
        self.spare = nn.Linear(width, width)


class NoCondition(HalfJoint):
    def forward(self, x, c):
        return self.joint(self.a(x)).squeeze(-1)


class NoImage(HalfJoint):
    def forward(self, x, c):
        return self.joint(self.b(c)).squeeze(-1)


class Early(Right):
    """Also right: one wide first layer for both, then two hidden layers."""

    def __init__(self, pixels, conditions, width):
        nn.Module.__init__(self)
        self.layers = nn.Sequential(branch(pixels + conditions, 2 * width), branch(2 * width, width), nn.Linear(width, 1))

    def forward(self, x, c):
        return self.layers(torch.hstack([x, c]) if x.ndim == 2 else torch.cat([x, c], -1))[..., 0]


class ByLayers(nn.Module):
    """Also right: the same net without nn.Sequential, other widths, and F.leaky_relu."""

    def __init__(self, n_pixels, n_conditions, hidden):
        super().__init__()
        self.x, self.c = nn.Linear(n_pixels, hidden), nn.Linear(n_conditions, 4)
        self.h, self.out = nn.Linear(hidden + 4, hidden), nn.Linear(hidden, 1)

    def forward(self, image, condition):
        parts = [F.leaky_relu(self.x(image), 0.2), F.leaky_relu(self.c(condition), 0.2)]
        return self.out(F.leaky_relu(self.h(torch.cat(parts, dim=1)), 0.2)).flatten()


class StubNames(ByLayers):
    def __init__(self, pixels, conditions, width):
        super().__init__(pixels, conditions, width)


class WithDropout(Right):
    def __init__(self, pixels, conditions, width):
        super().__init__(pixels, conditions, width)
        self.joint.insert(2, nn.Dropout(0.3))


class Projection(Right):
    """Also right: the condition weighs the image's features (Miyato and Koyama 2018)."""

    def __init__(self, pixels, conditions, width):
        nn.Module.__init__(self)
        self.a, self.out, self.v = branch(pixels, width), nn.Linear(width, 1), nn.Linear(conditions, width)

    def forward(self, x, c):
        h = self.a(x)
        return self.out(h).squeeze(-1) + (self.v(c) * h).sum(-1)


def angle(a, b):
    cosine = (a * b).sum(-1, keepdim=True) / (a.norm(dim=-1, keepdim=True) * b.norm(dim=-1, keepdim=True))
    return cosine.clamp(-1 + 1e-7, 1 - 1e-7).acos()


def arc(a, b, t, w):
    return (torch.sin((1 - t) * w) * a + torch.sin(t * w) * b) / torch.sin(w)


def walk(f):
    """A wrong `slerp` made of a function of (a, b, t, w), with w from the normalised vectors."""
    return lambda a, b, t: f(a, b, t, angle(a, b))


def unit(x):
    return F.normalize(x, dim=-1)


def unclamped(a, b, t):
    w = (unit(a) * unit(b)).sum(-1, keepdim=True).acos()
    return arc(a, b, t, w)


def zero_by_zero(a, b, t):
    return arc(a, b, t, (unit(a) * unit(b)).sum(-1, keepdim=True).clamp(-1, 1).acos())


def eps_below(a, b, t):
    w = (unit(a) * unit(b)).sum(-1, keepdim=True).clamp(-1, 1).acos()
    return (torch.sin((1 - t) * w) * a + torch.sin(t * w) * b) / (torch.sin(w) + 1e-8)


def all_straight(a, b, t):
    w = angle(a, b)
    return torch.lerp(a, b, t) if (w < 1e-2).any() else arc(a, b, t, w)


def if_one(a, b, t):
    w = angle(a, b)
    return torch.lerp(a, b, t) if w < 1e-2 else arc(a, b, t, w)


def stays(which):
    def f(a, b, t):
        w = angle(a, b)
        return torch.where(w < 1e-2, which(a, b), arc(a, b, t, w))

    return f


def one_angle(a, b, t):
    w = angle(a.flatten(), b.flatten())
    return SOLUTIONS["slerp"](a, b, t) if (angle(a, b) < 1e-2).any() else arc(a, b, t, w)


def cosine_along(dim, at):
    return lambda a, b, t: arc(a, b, t, F.cosine_similarity(a, b, dim=dim).clamp(-1, 1).acos().unsqueeze(at))


def no_keepdim(a, b, t):
    return arc(a, b, t, angle(a, b).squeeze(-1))


def in_place(a, b, t):
    right = SOLUTIONS["slerp"](a, b, t)
    a /= a.norm(dim=-1, keepdim=True)
    return right


def threshold(a, b, t):
    """Also right: the gist that most people copy, for batches."""
    dot = (unit(a) * unit(b)).sum(-1, keepdim=True)
    w = dot.clamp(-1, 1).acos()
    return torch.where(dot.abs() > 0.9995, (1 - t) * a + t * b, arc(a, b, t, w))


def by_rotation(a, b, t):
    """Also right: turn a in the plane of a and b, with lengths taken care of afterwards."""
    u, w = unit(a), angle(a, b)
    side = unit(unit(b) - w.cos() * u)
    la, lb = a.norm(dim=-1, keepdim=True), b.norm(dim=-1, keepdim=True)
    on_b = torch.sin(t * w) / torch.sin(w)
    on_a = torch.cos(t * w) - on_b * w.cos()
    line = torch.lerp(a, b, t)
    return torch.where(w < 1e-2, line, la * on_a * u + lb * on_b * (w.cos() * u + w.sin() * side))


MISTAKES = [
    ("generator_losses", game(pair=lambda sat, ns: (ns, sat)), "the pair is swapped: the saturating"),
    ("generator_losses", game(pair=lambda sat, ns: (ns, sat)), "the pair is swapped: the non-saturating"),
    ("generator_losses", game(sat=lambda a: -ln_not_d(a).mean(-1)), "G is to minimise ln(1 - D)"),
    ("generator_losses", game(sat=lambda a: ln_d(a).mean(-1)), "this is ln D"),
    ("generator_losses", game(ns=lambda a: ln_d(a).mean(-1)), "G is to maximise ln D"),
    ("generator_losses", game(ns=lambda a: -ln_not_d(a).mean(-1)), "the loss of D"),
    ("generator_losses", game(sat=lambda a: ln_not_d(a).sum(-1)), "the images were summed"),
    ("generator_losses", game(ns=lambda a: -ln_d(a).sum(-1)), "the images were summed"),
    ("generator_losses", game(sat=lambda a: ln_not_d(a).mean()), "the nets of a stack were averaged"),
    ("generator_losses", game(ns=lambda a: -ln_d(a).mean()), "the nets of a stack were averaged"),
    ("generator_losses", game(ns=lambda a: -ln_d(a).mean().expand(a.shape[:-1])), "each net has images of its own"),
    ("generator_losses", game(sat=lambda a: ln_not_d(a)), "the images were not averaged"),
    ("generator_losses", game(ns=lambda a: -ln_d(a)), "the images were not averaged"),
    ("generator_losses", game(sat=lambda a: (1 - a).log().mean(-1)), "the logits were taken for probabilities"),
    ("generator_losses", game(ns=lambda a: -a.log().mean(-1)), "the logits were taken for probabilities"),
    ("generator_losses", game(sat=lambda a: ln_not_d(a.sigmoid()).mean(-1)), "the sigmoid was applied twice"),
    ("generator_losses", game(ns=lambda a: -ln_d(a.sigmoid()).mean(-1)), "the sigmoid was applied twice"),
    ("generator_losses", game(ns=lambda a: bce(a, 0.9).mean(-1)), "the target was smoothed to 0.9"),
    ("generator_losses", game(ns=lambda a: F.binary_cross_entropy(a.sigmoid(), torch.full_like(a, 0.9), reduction="none")
                              .mean(-1)), "the target was smoothed to 0.9"),
    ("generator_losses", game(sat=lambda a: -bce(a, 0.1).mean(-1)), "the target was smoothed: smoothing"),
    ("generator_losses", game(sat=lambda a: a.neg().sigmoid().log().mean(-1)), "to machine precision"),
    ("generator_losses", game(sat=lambda a: (1 - a.sigmoid()).log().mean(-1)), "to machine precision"),
    ("generator_losses", game(ns=lambda a: -a.sigmoid().log().mean(-1)), "to machine precision"),
    ("generator_losses", game(ns=lambda a: -(a.sigmoid() + 1e-8).log().mean(-1)), "to machine precision"),
    ("generator_losses", game(ns=lambda a: a.neg().exp().add(1).log().mean(-1)), "to machine precision"),
    ("generator_losses", game(sat=lambda a: -F.binary_cross_entropy(a.sigmoid(), 0 * a, reduction="none").mean(-1)),
     "to machine precision"),
    ("generator_losses", game(sat=lambda a: (1 - a.sigmoid()).clamp(min=1e-12).log().mean(-1)), "to machine precision"),
    ("generator_losses", game(sat=lambda a: a.neg().sigmoid().mean(-1).log()), "the logarithm of the mean"),
    ("generator_losses", game(ns=lambda a: -a.sigmoid().mean(-1).log()), "the logarithm of the mean"),
    ("generator_losses", game(sat=lambda a: a.neg().sigmoid().mean(-1)), "the logarithm is missing"),
    ("generator_losses", game(ns=lambda a: -a.sigmoid().mean(-1)), "the logarithm is missing"),
    ("generator_losses", game(sat=lambda a: ln_not_d(a).mean(-1) / math.log(2)), "the logarithm to base 2"),
    ("generator_losses", game(ns=lambda a: -ln_d(a).mean(-1) / math.log(2)), "the logarithm to base 2"),
    ("generator_losses", game(pair=lambda sat, ns: (sat.detach(), ns)), "an .item(), float(), detach()"),
    ("generator_losses", game(pair=lambda sat, ns: sat + ns), "return both losses"),
    ("generator_losses", game(pair=lambda sat, ns: None), "no return statement"),
    ("generator_losses", lambda a: SOLUTIONS["generator_losses"](a), "keep the first line of the stub"),
    ("discriminator_loss", judged(fake=lambda a, s: bce(a, 1 - torch.as_tensor(s))), "both sides were smoothed"),
    ("discriminator_loss", judged(lambda a, s: bce(a, 1.0), lambda a, s: bce(a, 1 - torch.as_tensor(s))),
     "the fakes were smoothed"),
    ("discriminator_loss", judged(fake=lambda a, s: bce(a, s)), "the fakes got the target of the real images"),
    ("discriminator_loss", judged(fake=lambda a, s: bce(a, 1.0)), "fake images were called real"),
    ("discriminator_loss", judged(lambda a, s: bce(a, 0.0), lambda a, s: bce(a, s)), "the targets are swapped"),
    ("discriminator_loss", judged(lambda a, s: bce(a, 1 - torch.as_tensor(s))), "the real images got 1 - smooth"),
    ("discriminator_loss", judged(total=lambda r, g: (r + g) / 2), "half the loss"),
    ("discriminator_loss", judged(total=lambda r, g: (r + g).mean()), "the nets of a stack were averaged"),
    ("discriminator_loss", over_all_nets, "the nets of a stack were averaged"),
    ("discriminator_loss", same_for_all_nets, "each net has images of its own"),
    ("discriminator_loss", together, "all images were averaged together"),
    ("discriminator_loss", sum_first, "there may be more fake than real images"),
    ("discriminator_loss", one_target, "there may be more fake than real images"),
    ("discriminator_loss", judged(lambda a, s: bce(a, 1.0)), "the smoothing was ignored"),
    ("discriminator_loss", judged(lambda a, s: s * bce(a, 1.0)), "the real term was only scaled"),
    ("discriminator_loss", judged(lambda a, s: bce(a, 0.5 + 0.5 * torch.as_tensor(s))), "not shared out among two classes"),
    ("discriminator_loss", judged(lambda a, s: s * bce(a, 1.0), lambda a, s: s * bce(a, 0.0)), "the whole loss was scaled"),
    ("discriminator_loss", judged(lambda a, s: bce(s * a, 1.0)), "the logits were scaled"),
    ("discriminator_loss", judged(lambda a, s: bce(a.sigmoid(), s), lambda a, s: bce(a.sigmoid(), 0.0)),
     "a sigmoid was applied before"),
    ("discriminator_loss", judged(naive_real), "to machine precision"),
    ("discriminator_loss", judged(fake=lambda a, s: -(1 - a.sigmoid()).log()), "to machine precision"),
    ("discriminator_loss", judged(fake=lambda a, s: F.binary_cross_entropy(a.sigmoid(), 0 * a, reduction="none")),
     "to machine precision"),
    ("discriminator_loss", judged(clipped), "to machine precision"),
    ("discriminator_loss", negated, "this is what D maximises"),
    ("discriminator_loss", judged(total=lambda r, g: r - g), "the terms were subtracted"),
    ("discriminator_loss", judged(total=lambda r, g: r), "the fake images are missing"),
    ("discriminator_loss", judged(total=lambda r, g: g), "the real images are missing"),
    ("discriminator_loss", judged(total=lambda r, g: (r, g)), "add the terms"),
    ("discriminator_loss", judged(total=lambda r, g: (r + g) / math.log(2)), "the logarithm to base 2"),
    ("discriminator_loss", judged(total=lambda r, g: 3 * r + 5 * g), "the images were summed"),
    ("discriminator_loss", judged(total=lambda r, g: (r + g).detach()), "an .item(), float(), detach()"),
    ("discriminator_loss", judged(fake=lambda a, s: bce(a.detach(), 0.0)), "an .item(), float(), detach()"),
    ("discriminator_loss", judged(total=lambda r, g: None), "no return statement"),
    ("discriminator_loss", float_only, "`smooth` may be a tensor"),
    ("discriminator_loss", if_smooth, "`smooth` may be a tensor"),
    ("discriminator_loss", one_arm(lambda s: s.mean()), "the arms share one target"),
    ("discriminator_loss", one_arm(lambda s: s[0]), "the target of the first arm"),
    ("discriminator_loss", lambda real_logits, fake_logits, smooth=0.9: judged()(real_logits, fake_logits, smooth),
     "without `smooth`, the target"),
    ("discriminator_loss", lambda real, fake, smooth=1.0: judged()(real, fake, smooth), "keep the first line of the stub"),
    ("mode_coverage", covered(modes=lambda q, at: (q > 0).sum()), "every class that is present was counted"),
    ("mode_coverage", covered(modes=lambda q, at: (q < at).sum()), "the missing classes were counted"),
    ("mode_coverage", covered(modes=lambda q, at: (q > at).sum()), ">= rather than >"),
    ("mode_coverage", covered(modes=lambda q, at: (q >= 0.01).sum()), "the threshold is 0.01 whatever is given"),
    ("mode_coverage", covered(modes=lambda q, at: (q >= at).mean()), "this is the share of the classes"),
    ("mode_coverage", covered(modes=lambda q, at: q >= at), "this is a mask"),
    ("mode_coverage", covered(modes=lambda q, at: len(q)), "the number of classes was returned"),
    ("mode_coverage", covered(kl=quiet(lambda q, n, y: (np.log(1 / (n * q)) / n).sum())), "the other way round"),
    ("mode_coverage", covered(kl=lambda q, n, y: (np.log(1 / (n * (q + 1e-12))) / n).sum()), "more than ln(n_classes)"),
    ("mode_coverage", covered(kl=quiet(lambda q, n, y: (q * np.log(q * n)).sum())), "0 ln 0 is 0, not NaN"),
    ("mode_coverage", covered(kl=lambda q, n, y: entropy(q, np.full(n, 1 / n), base=2)), "the logarithm to base 2"),
    ("mode_coverage", covered(kl=lambda q, n, y: entropy(q)), "this is the entropy"),
    ("mode_coverage", covered(kl=lambda q, n, y: -entropy(q)), "this is minus the entropy"),
    ("mode_coverage", covered(kl=lambda q, n, y: (q * (ln(q) - np.log(n))).sum()), "not by n_classes"),
    ("mode_coverage", covered(kl=lambda q, n, y: -entropy(q, np.full(n, 1 / n))), "never below 0"),
    ("mode_coverage", covered(kl=lambda q, n, y: entropy(q, np.full(n, 1 / n)) / n), "averaged over the classes"),
    ("mode_coverage", covered(kl=only_present), "only the classes that are present"),
    ("mode_coverage", covered(kl=no_minlength), "minlength"),
    ("mode_coverage", covered(kl=kl_of_tall), "classes below at_least were left out: they count"),
    ("mode_coverage", covered(kl=kl_of_tall_alone), "and the others shared out anew"),
    ("mode_coverage", covered(kl=lambda q, n, y: (len(y) * q * (ln(q) + ln(q * 0 + len(y) * n))).sum()),
     "counts were taken for shares"),
    ("mode_coverage", covered(kl=lambda q, n, y: len(y) * entropy(q, np.full(n, 1 / n))), "its weights are counts"),
    ("mode_coverage", covered(kl=lambda q, n, y: (q * np.log((q + 1e-3) * n)).sum()), "an eps or a pseudo-count"),
    ("mode_coverage", covered(kl=lambda q, n, y: ((q + 1e-6) * np.log((q + 1e-6) * n)).sum()), "an eps or a pseudo-count"),
    ("mode_coverage", covered(kl=laplace), "an eps or a pseudo-count"),
    ("mode_coverage", covered(pair=lambda modes, kl: (kl, modes)), "the pair is swapped"),
    ("mode_coverage", covered(pair=lambda modes, kl: kl), "return both numbers"),
    ("mode_coverage", covered(pair=lambda modes, kl: None), "no return statement"),
    ("mode_coverage", tensor_only, "labels may be a numpy array or a tensor"),
    ("mode_coverage", by_counter, "use labels.tolist()"),
    ("mode_coverage", counter_values, "use labels.tolist()"),
    ("mode_coverage", numpy_only, "labels may be a numpy array or a tensor"),
    ("mode_coverage", lambda y, n_classes=10, at_least=0.01: covered()(y, n_classes, at_least), "keep the first line"),
    ("pack", lambda x, pac: torch.cat([x[..., : x.shape[-2] // pac, :]] * pac, -1), "the image was repeated"),
    ("pack", lambda x, pac: x.repeat_interleave(pac, -1)[..., : x.shape[-2] // pac, :], "pixels of several images mixed"),
    ("pack", lambda x, pac: full(x, pac).transpose(-1, -2).flatten(-2), "pixels of several images mixed"),
    ("pack", nets_mixed, "the leading dimensions (arms, seeds) were mixed"),
    ("pack", lambda x, pac: full(x, pac).flatten(-2).flatten(0, -2), "the leading dimensions (arms, seeds) are gone"),
    ("pack", lambda x, pac: x.unflatten(-2, (-1, pac)).flatten(-2), "leave the images beyond the last full group out"),
    ("pack", lambda x, pac: x[: len(x) // pac * pac].unflatten(0, (-1, pac)).flatten(1, 2),
     "look at which dimensions are joined"),
    ("pack", lambda x, pac: x[:, : x.shape[1] // pac * pac].reshape(len(x), -1, pac * x.shape[-1]), "are joined"),
    ("pack", lambda x, pac: x[..., : x.shape[-1] // pac], "the images were cut up"),
    ("pack", lambda x, pac: x.unflatten(-1, (pac, -1)).flatten(-3, -2), "the images were cut up"),
    ("pack", lambda x, pac: full(x, pac).mean(-2), "averaged, added or dropped"),
    ("pack", lambda x, pac: full(x, pac)[..., 0, :], "averaged, added or dropped"),
    ("pack", lambda x, pac: full(x, pac).mean(-2, keepdim=True).expand(*full(x, pac).shape).flatten(-2),
     "the images were averaged or added"),
    ("pack", lambda x, pac: full(x, pac), "join the images of a row: flatten"),
    ("pack", lambda x, pac: full(x, pac).transpose(-1, -2), "each stays whole"),
    ("pack", lambda x, pac: full(x, pac).transpose(-2, -3).flatten(-2), "not pac rows"),
    ("pack", lambda x, pac: full(x, pac).flatten(-2).transpose(-1, -2), "are joined"),
    ("pack", padded, "the last group is not full"),
    ("pack", overlapping, "the groups overlap"),
    ("pack", rolled, "as many rows as before"),
    ("pack", lambda x, pac: full(x, pac).flatten(-2).detach(), "G learns through the packed images"),
    ("pack", lambda x, pac: None, "no return statement"),
    ("pack", lambda images, pac: full(images, pac).flatten(-2), "keep the first line of the stub"),
    ("ConditionalDiscriminator", Added, "no pair of the two can be called a mismatch"),
    ("ConditionalDiscriminator", LinearEnd, "no pair of the two can be called a mismatch"),
    ("ConditionalDiscriminator", NoCondition, "c is not used"),
    ("ConditionalDiscriminator", NoImage, "x is not used"),
    ("ConditionalDiscriminator", end(torch.sigmoid), "a sigmoid at the end"),
    ("ConditionalDiscriminator", end(torch.tanh), "a tanh at the end"),
    ("ConditionalDiscriminator", end(F.logsigmoid), "a logarithm of the sigmoid"),
    ("ConditionalDiscriminator", end(F.relu), "a ReLU at the end"),
    ("ConditionalDiscriminator", net(end=lambda self, logits: logits), "take its dimension away"),
    ("ConditionalDiscriminator", net(end=lambda self, logits: logits.squeeze()), "squeeze() without a dimension"),
    ("ConditionalDiscriminator", end(lambda z: z.mean(-1)), "the images were averaged"),
    ("ConditionalDiscriminator", end(lambda z: z - z.mean(-1, keepdim=True)), "something runs over the batch"),
    ("ConditionalDiscriminator", end(lambda z: z.softmax(-1)), "something runs over the batch"),
    ("ConditionalDiscriminator", BatchNormed, "it makes each logit depend"),
    ("ConditionalDiscriminator", AlongBatch, "joined along the batch: dim=-1"),
    ("ConditionalDiscriminator", AsInTheStub, "joined along the batch: dim=-1"),
    ("ConditionalDiscriminator", WithoutForward, "0 of 1 cases pass\n  ✗ the class has a forward"),
    ("ConditionalDiscriminator", WithoutForward, "write forward(self, x, c)"),
    ("ConditionalDiscriminator", HalfJoint, "each later one from what comes out before it"),
    ("ConditionalDiscriminator", FixedSizes, "take their sizes from pixels and conditions"),
    ("ConditionalDiscriminator", OneNumber, "c was made into one number"),
    ("ConditionalDiscriminator", Embedded, "c was made into one number"),
    ("ConditionalDiscriminator", Counted, "c was made into one number"),
    ("ConditionalDiscriminator", net(right=lambda self, c: self.b(c).detach()), "cuts a branch off"),
    ("ConditionalDiscriminator", net(left=lambda self, x: self.a(x).detach()), "cuts a branch off"),
    ("ConditionalDiscriminator", end(lambda z: z.detach()), "logits without one"),
    ("ConditionalDiscriminator", InList, "no optimiser sees them"),
    ("ConditionalDiscriminator", MadeInForward, "make the layers in __init__"),
    ("ConditionalDiscriminator", Unused, "the layer is not used"),
    ("ConditionalDiscriminator", net(right=lambda self, c: self.b(c) if c.sum() > 0 else 0 * self.b(c)), "no `if` on values"),
    ("ConditionalDiscriminator", end(lambda z: None), "forward has no return statement"),
    ("ConditionalDiscriminator", lambda pixels, conditions, width: lambda x, c: x.sum(-1), "inherits from nn.Module"),
    ("ConditionalDiscriminator", ByLayers, "keep the first line of the stub"),
    ("slerp", lambda a, b, t: torch.lerp(a, b, t), "this is the straight line"),
    ("slerp", lambda a, b, t: torch.lerp(a, b, t), "the straight line cuts the corner"),
    ("slerp", lambda a, b, t: arc(a, b, t, (a * b).sum(-1, keepdim=True).acos()), "came from the unnormalised vectors"),
    ("slerp", lambda a, b, t: arc(a, b, t, (a * b).sum(-1, keepdim=True).clamp(-0.99, 0.99).acos()),
     "came from the unnormalised vectors"),
    ("slerp", walk(lambda a, b, t, w: unit(arc(a, b, t, w))), "the result was scaled to length 1"),
    ("slerp", walk(lambda a, b, t, w: arc(unit(a), unit(b), t, w)), "the vectors were scaled to length 1"),
    ("slerp", walk(lambda a, b, t, w: unit(arc(unit(a), unit(b), t, w)) * torch.lerp(a.norm(dim=-1, keepdim=True),
     b.norm(dim=-1, keepdim=True), t)), "the length was interpolated by itself"),
    ("slerp", walk(lambda a, b, t, w: arc(b, a, t, w)), "t and 1 - t are swapped"),
    ("slerp", walk(lambda a, b, t, w: arc(a, b, 0.5, w)), "t is not used"),
    ("slerp", walk(lambda a, b, t, w: unit(torch.lerp(a, b, t)) * arc(a, b, t, w).norm(dim=-1, keepdim=True)),
     "too fast in the middle"),
    ("slerp", walk(lambda a, b, t, w: unit(torch.lerp(a, b, t)) * torch.lerp(a.norm(dim=-1, keepdim=True),
     b.norm(dim=-1, keepdim=True), t)), "the angle does not grow in proportion"),
    ("slerp", walk(lambda a, b, t, w: unit(torch.lerp(a, b, t)) * torch.lerp(a.norm(dim=-1, keepdim=True),
     b.norm(dim=-1, keepdim=True), t)), "the length between those of a and b"),
    ("slerp", walk(lambda a, b, t, w: (torch.cos((1 - t) * w) * a + torch.cos(t * w) * b) / w.cos()), "in place of sines"),
    ("slerp", walk(lambda a, b, t, w: (torch.cos((1 - t) * w) * a + torch.cos(t * w) * b) / w.sin()), "in place of the sines"),
    ("slerp", walk(lambda a, b, t, w: arc(a, b, t, w) * w.sin()), "the division by sin(w) is missing"),
    ("slerp", walk(lambda a, b, t, w: arc(a, b, t, w) * w.sin() / w), "divided by w"),
    ("slerp", walk(lambda a, b, t, w: arc(a, b, t, w.rad2deg())), "the angle is in degrees"),
    ("slerp", walk(lambda a, b, t, w: arc(a, b, t, w.cos())), "the cosine was taken for the angle"),
    ("slerp", one_angle, "one angle for the whole batch"),
    ("slerp", no_keepdim, "keepdim=True"),
    ("slerp", cosine_along(1, -1), "F.cosine_similarity takes dim=1 by default"),
    ("slerp", cosine_along(-2, -2), "the angles are those of columns"),
    ("slerp", cosine_along(0, -1), "each row got the angle of a column"),
    ("slerp", if_one, "no `if` on a batch"),
    ("slerp", unclamped, "where arccos is NaN"),
    ("slerp", zero_by_zero, "sin(w) is 0"),
    ("slerp", eps_below, "an eps in the division"),
    ("slerp", all_straight, "one parallel pair makes the whole batch go straight"),
    ("slerp", stays(lambda a, b: a), "this is a"),
    ("slerp", stays(lambda a, b: b), "this is b"),
    ("slerp", in_place, "an operation in place"),
    ("slerp", lambda a, b, t: None, "no return statement"),
    ("slerp", lambda x, y, t: SOLUTIONS["slerp"](x, y, t), "keep the first line of the stub"),
]  # fmt: skip


def kl_div(labels, n_classes=10, at_least=0.01):
    q = torch.bincount(torch.as_tensor(labels), minlength=n_classes).float() / len(labels)
    uniform = torch.full((n_classes,), 1 / n_classes)
    return (q >= at_least).sum(), F.kl_div(uniform.log(), q, reduction="sum")


def categorical(labels, n_classes=10, at_least=0.01):
    q = torch.stack([(torch.as_tensor(labels) == k).float().mean() for k in range(n_classes)])
    return [(q >= at_least).sum().item(), kl_divergence(Categorical(q), Categorical(torch.ones(n_classes)))]


def by_unique(labels, n_classes=10, at_least=0.01):
    _, counts = np.unique(labels, return_counts=True)
    q = counts / counts.sum()
    return sum(share >= at_least for share in q), np.log(n_classes) - entropy(q)


ALSO_RIGHT = [
    ("generator_losses", lambda fake_logits: (-F.softplus(fake_logits).mean(dim=-1), F.softplus(-fake_logits).mean(dim=-1))),
    ("generator_losses", lambda fake_logits: [-bce(fake_logits, 0.0).mean(-1), bce(fake_logits, 1.0).mean(-1)]),
    ("generator_losses", lambda fake_logits: (
        (F.logsigmoid(fake_logits) - fake_logits).mean(-1), -F.logsigmoid(fake_logits).sum(-1) / fake_logits.shape[-1])),
    ("discriminator_loss", judged()),
    ("discriminator_loss", lambda real_logits, fake_logits, smooth=1.0: (
        F.softplus(real_logits) - smooth * real_logits).mean(-1) + F.softplus(fake_logits).mean(-1)),
    ("discriminator_loss", lambda real_logits, fake_logits, smooth=1.0: judged(lambda a, s: bce(a, s * torch.ones_like(a)))(
        real_logits, fake_logits, torch.as_tensor(smooth).to(real_logits))),
    ("mode_coverage", covered()),
    ("mode_coverage", kl_div),
    ("mode_coverage", categorical),
    ("mode_coverage", by_unique),
    ("mode_coverage", covered(kl=lambda q, n, y: (q * np.log(q * n + 1e-12)).sum())),
    ("mode_coverage", covered(kl=lambda q, n, y: ((q + 1e-12) * np.log((q + 1e-12) * n)).sum())),
    ("mode_coverage", covered(kl=lambda q, n, y: (q[q > 0] * np.log(q[q > 0] / (1 / n))).sum())),
    ("pack", in_rows),
    ("pack", chunks),
    ("pack", shuffled),
    ("pack", lambda x, pac: torch.cat([x[..., i : x.shape[-2] // pac * pac : pac, :] for i in range(pac)], dim=-1)),
    ("ConditionalDiscriminator", Right),
    ("ConditionalDiscriminator", StubNames),
    ("ConditionalDiscriminator", Early),
    ("ConditionalDiscriminator", Projection),
    ("ConditionalDiscriminator", WithDropout),
    ("slerp", walk(arc)),
    ("slerp", threshold),
    ("slerp", by_rotation),
]  # fmt: skip

#: Rows whose mistake changes no value that a submission gives; the checks see them
UNSEEN_BY_GRADING = {
    (name, "keep the first line" + " of the stub" * (name != "mode_coverage")): "arguments go in by place" for name in CHECKS
}
