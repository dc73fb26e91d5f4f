"""Lab 07: solutions, right variants, and known mistakes with the words that each must be told (see test_checks.py)."""

import contextlib
import copy
import inspect

import numpy as np
import torch
import torch.nn.functional as F
from notebook_source import gradients_off, namespace, touching
from torch import nn

from labkit.check import saliency as check  # noqa: F401 - read by test_checks.py

LAB = "07_saliency_adversarial"
SOLUTIONS = namespace(
    LAB, "saliency", "integrated-gradients", "deletion-curve", "fooling-step", "project", "visualisation-step"
)  # fmt: skip
CHECKS = ["saliency", "integrated_gradients", "deletion_curve", "fooling_step", "project", "visualisation_step"]
SIGNATURES = {name: inspect.signature(SOLUTIONS[name]) for name in CHECKS}


# scores and slopes, which all share


def own(logits, y):
    return logits.gather(1, y[:, None]).squeeze(1)


def cross_entropy(logits, y):
    return F.cross_entropy(logits, y, reduction="none")


#: Scores that are no logit of the class asked for, with the words of each
SCORES = [
    (lambda s, y: own(s.softmax(1), y), "this is the slope of the probability"),
    (lambda s, y: own(s.log_softmax(1), y), "this is the slope of"),
    (lambda s, y: s.amax(1), "this is the slope of the highest logit"),
    (lambda s, y: s.sum(1), "the sum of all logits"),
    (lambda s, y: s[:, y], "is (B, B), each image with the classes of all"),
    (lambda s, y: s[:, y[0]], "all images were given the class of the first"),
    (lambda s, y: s[:, 0], "class 0, whatever class was asked for"),
]


def private(x):
    return x.detach().clone().requires_grad_()


def autograd(s, z, net):
    return torch.autograd.grad(s.sum(), z)[0]


def with_graph(s, z, net):
    return torch.autograd.grad(s.sum(), z, create_graph=True)[0]


def by_backward(s, z, net):
    s.sum().backward()
    return z.grad.clone()


def then_zeroed(s, z, net):
    g = by_backward(s, z, net)
    net.zero_grad()
    return g


def then_zeros(s, z, net):
    g = by_backward(s, z, net)
    net.zero_grad(set_to_none=False)
    return g


def put_back_after_backward(s, z, net):
    """Right: the gradients of parameters are kept, and put back."""
    kept = [(p, p.grad) for p in net.parameters()]
    for p, _ in kept:
        p.grad = None
    g = by_backward(s, z, net)
    for p, grad in kept:
        p.grad = grad
    return g


def by_a_copy(net, z, y):
    """Right: what backward() leaves behind stays on a copy of the net."""
    twin, z = copy.deepcopy(net).eval(), private(z)
    twin(z)[range(len(y)), y].sum().backward()
    return z.grad


def by_func(net, z, y):
    """Right: torch.func, on a copy in evaluation mode."""
    twin = copy.deepcopy(net).eval()
    return torch.func.vmap(torch.func.grad(lambda image, k: twin(image[None])[0].gather(0, k[None])[0]))(z.detach(), y).detach()


def by_loop(net, z, y):
    """Right: image by image."""
    twin = copy.deepcopy(net).eval()
    rows = []
    for image, k in zip(z, y, strict=True):
        one = private(image[None])
        rows.append(torch.autograd.grad(twin(one)[0, k], one)[0][0])
    return torch.stack(rows)


def sloped(score=own, leaf=private, grad=autograd):
    """A slope of the score for (net, images, classes)."""

    def f(net, x, y):
        z = leaf(x)
        return grad(score(net(z), y), z, net)

    return f


touched = touching(SOLUTIONS, SIGNATURES)


def frozen(net, *args):
    for p in net.parameters():
        p.requires_grad_(False)


def thawed(net, *args):
    for p in net.parameters():
        p.requires_grad_(True)


def brightened(net, x, *args):
    x += 0.1


def required(net, x, *args):
    x.requires_grad_()


def cleared(net, x, *args):
    x.grad = None


# saliency


def evaluated(net):
    net.eval()


def put_back(net, modes):
    for m, mode in modes:
        m.training = mode


def mapped(
    reduce=lambda g: g.abs().amax(1), slope=None, evaluate=evaluated, restore=put_back, *, safe=True, then=lambda z: z,
):  # fmt: skip
    """A `saliency` by rules: what becomes of the slopes, and what is done with the net."""
    slope = slope or sloped()

    def f(net, x, y):
        modes = [(m, m.training) for m in net.modules()]
        try:
            evaluate(net)
            g = slope(net, x, y)
        except Exception:
            if safe:
                restore(net, modes)
            raise
        restore(net, modes)
        return then(reduce(g))

    return f


def batch_norm_only(net):
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.eval()


def dropout_only(net):
    for m in net.modules():
        if isinstance(m, nn.Dropout):
            m.eval()


def children_only(net, modes):
    was = dict(modes)
    net.training = was[net]
    for child in net.children():
        child.train(was[child])


def quietly(name):
    """Errors are swallowed."""

    def f(*args):
        with contextlib.suppress(Exception):
            return SOLUTIONS[name](*args)

    f.__signature__ = SIGNATURES[name]
    return f


def normalised(m):
    return m / m.amax((1, 2), keepdim=True)


def stretched(m):
    low, high = m.amin((1, 2), keepdim=True), m.amax((1, 2), keepdim=True)
    return (m - low) / (high - low)


def callers_x(x):
    return x.requires_grad_()


def attached(x):
    return x.clone().requires_grad_()


def retained(x):
    z = x.clone().requires_grad_()
    z.retain_grad()
    return z


def flag_put_back(net, x, y):
    """Right: the caller's x, whose flag is put back whatever happens."""
    modes, flag = {m: m.training for m in net.modules()}, x.requires_grad
    try:
        net.eval()
        (g,) = torch.autograd.grad(net(x.requires_grad_())[range(len(x)), y].sum(), x)
    finally:
        x.requires_grad_(flag)
        for m, mode in modes.items():
            m.train(mode) if not list(m.children()) else setattr(m, "training", mode)
    return g.abs().max(dim=1).values


def frozen_meanwhile(net, x, y):
    """Right: no parameter takes gradients while backward() runs."""
    flags = [(p, p.requires_grad) for p in net.parameters()]
    try:
        for p, _ in flags:
            p.requires_grad_(False)
        return mapped(slope=sloped(grad=by_backward))(net, x, y)
    finally:
        for p, flag in flags:
            p.requires_grad_(flag)


def one_image_item(net, x, y):
    return mapped(slope=sloped(lambda s, y: s[0, y.item()]))(net, x, y)


# integrated_gradients


def midpoints(n):
    return [(k + 0.5) / n for k in range(n)]


def integrated(
    points=midpoints, slope=None, factor=lambda x, b: x - b, weigh=lambda total, n: total / n,
    place=lambda x, b, t: b + t * (x - b), change=lambda g: g, weights=lambda n, m: [1.0] * m, result=lambda out: out,
):  # fmt: skip
    """An `integrated_gradients` by rules: points and their weights, slopes, the factor, and what is divided by."""
    slope = slope or sloped()

    def f(net, x, y, baseline, steps):
        shares = points(steps)
        total = 0
        for t, w in zip(shares, weights(steps, len(shares)), strict=True):
            total = total + w * change(slope(net, place(x, baseline, t), y))
        return result(factor(x, baseline) * weigh(total, steps))

    return f


def all_at_once(net, x, y, baseline, steps):
    """Right: all points in one batch."""
    t = (torch.arange(steps, dtype=x.dtype) + 0.5).div(steps).reshape(-1, 1, 1, 1, 1)
    z = torch.lerp(baseline[None], x[None], t).flatten(0, 1).requires_grad_()
    g = torch.autograd.grad(net(z)[torch.arange(len(z)), y.repeat(steps)].sum(), z)[0]
    return g.reshape(steps, *x.shape).mean(0) * (x - baseline)


def kept_in_float32(net, x, y, baseline, steps):
    """Right: sums are kept in torch's own dtype."""
    total = torch.zeros(x.shape)
    for t in (torch.arange(steps) + 0.5) / steps:
        total += sloped()(net, baseline + t * (x - baseline), y)
    return (x - baseline) * total / steps


def in_place(net, x, y, baseline, steps):
    out = SOLUTIONS["integrated_gradients"](net, x, y, baseline, steps)
    x -= baseline
    return out


def path_on_the_baseline(net, x, y, baseline, steps):
    total = torch.zeros_like(x)
    part = (x - baseline) / steps
    baseline += part / 2
    for _ in range(steps):
        total += sloped()(net, baseline, y)
        baseline += part
    return part * total


# deletion_curve


def ranks(maps):
    return maps.flatten(1).argsort(dim=1, descending=True).argsort(dim=1)


def deleted(
    rank=ranks, count=lambda share, n: round(share * n), gone=None, picture=lambda x, fill, gone: torch.where(gone, fill, x),
    probability=lambda s, y: own(s.softmax(1), y), grad=torch.no_grad, result=lambda p, plain: p, *, on=False,
):  # fmt: skip
    """A `deletion_curve` by rules: ranks, how many pixels go, what takes their place, and which number is kept."""

    def f(net, x, y, maps, shares, fill):
        rows, now = [], x
        shape = (len(x), 1, *maps.shape[1:])
        order = rank(maps).reshape(len(x), -1)
        with grad():
            for share in shares:
                n = order.shape[1]
                mask = gone(maps, share) if gone else order < count(share, n)
                shown = picture(now if on else x, fill, mask.reshape(shape))
                now = shown
                rows.append(probability(net(shown), y))
            return result(torch.stack(rows), probability(net(x), y))

    return f


def relative(edge):
    """Deletes where the map is above an edge that depends on the share, top and low."""

    def gone(maps, share):
        flat = maps.flatten(1)
        return flat > edge(share, flat.amax(1, keepdim=True), flat.amin(1, keepdim=True))

    return deleted(gone=gone)


def read_in_columns(maps):
    return ranks(maps.transpose(1, 2)).reshape(len(maps), *maps.shape[1:])


def put_in_columns(maps):
    b, h, w = maps.shape
    return ranks(maps).reshape(b, w, h).transpose(1, 2)


def painted(net, x, y, maps, shares, fill):
    """Deletes in x itself."""
    rank, rows = ranks(maps).reshape(len(x), 1, *maps.shape[1:]), []
    with torch.no_grad():
        for share in shares:
            mask = (rank < round(share * maps[0].numel())).expand_as(x)
            x[mask] = fill[mask]
            rows.append(own(net(x).softmax(1), y))
    return torch.stack(rows)


def sorted_shares(net, x, y, maps, shares, fill):
    shares.sort()
    return SOLUTIONS["deletion_curve"](net, x, y, maps, shares, fill)


def by_topk(net, x, y, maps, shares, fill):
    """Right: image by image, and share by share."""
    table = torch.zeros(len(shares), len(x))
    for i, share in enumerate(shares):
        for b in range(len(x)):
            places = maps[b].reshape(-1).topk(round(share * maps[b].numel())).indices
            image = x[b].flatten(1).clone()
            image[:, places] = fill[b].flatten(1)[:, places]
            table[i, b] = net(image.reshape(1, *x.shape[1:]))[0].softmax(0)[y[b]].item()
    return table


def by_numpy(net, x, y, maps, shares, fill):
    """Right: masks by numpy, and all shares in one batch."""
    flat = -maps.numpy().reshape(len(x), -1)
    rank = np.argsort(np.argsort(flat, axis=1), axis=1).reshape(len(x), *maps.shape[1:])
    gone = np.stack([rank < np.rint(share * flat.shape[1]) for share in shares])[:, :, None]
    z = np.where(gone, fill.numpy(), x.numpy())
    with torch.inference_mode():
        p = F.softmax(net(torch.from_numpy(z).flatten(0, 1)), dim=-1).reshape(len(shares), len(x), -1)
    return p[:, torch.arange(len(x)), y]


# steps uphill


def size(v):
    return v.flatten(1).norm(dim=1).clamp(min=1e-12).reshape(-1, 1, 1, 1)


def unit(g):
    return g / size(g)


def channel_size(v):
    return v.square().sum((2, 3), keepdim=True).sqrt()


#: What is made of g in place of g / |g|, with the words of each
DIRECTIONS = [
    (lambda g: -unit(g), "the step goes downhill"),
    (torch.sign, "the sign of g in place of"),
    (lambda g: g, "g was not divided by its length"),
    (lambda g: g / g.norm(), "|g| was taken over the whole batch"),
    (lambda g: g / channel_size(g), "|g| was taken of each channel"),
    (lambda g: g / size(g) ** 2, "g was divided by the squared length"),
    (lambda g: g / g.abs().amax((1, 2, 3), keepdim=True), "g was divided by its largest value"),
    (lambda g: g / g.abs().sum((1, 2, 3), keepdim=True), "g was divided by the sum"),
    (lambda g: g / g.abs().mean((1, 2, 3), keepdim=True), "g was divided by the mean"),
    (lambda g: 2 * unit(g), "the step went twice as far"),
]


def fooled(slope=None, direction=unit, clip=lambda z: z.clamp(0, 1), move=lambda x, step: x + step, length=lambda eta: eta):
    """A `fooling_step` by rules."""
    slope = slope or sloped()
    return lambda net, x, target, eta: clip(move(x.detach(), length(eta) * direction(slope(net, x, target))))


def plainly_divided(g):
    return g / g.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)


def moved_in_place(net, x, target, eta):
    x += eta * unit(sloped()(net, x, target))
    return x.clamp_(0, 1)


def from_z(net, x, target, eta):
    """The step is made of the copy that requires gradients."""
    z = private(x)
    return (z + eta * unit(autograd(own(net(z), target), z, net))).clamp(0, 1)


def from_x(net, x, target, eta):
    """The step is made of x, which may require gradients."""
    return (x + eta * unit(sloped()(net, x, target))).clamp(0, 1)


# project


def in_ball(linf=lambda d, r: d.clamp(-r, r), l2=lambda d, r, z, x: d * (r / size(d)).clamp(max=1), *,
            clip=lambda z: z.clamp(0, 1), early=lambda z: z, move=lambda x, d: x + d, linf_of=None, l2_of=None):  # fmt: skip
    """A `project` by rules for the differences; `linf_of` and `l2_of` give images."""

    def f(z, x, radius, norm):
        z = early(z)
        if norm == "Linf":
            return clip(linf_of(z, x, radius) if linf_of else move(x, linf(z - x, radius)))
        return clip(l2_of(z, x, radius) if l2_of else move(x, l2(z - x, radius, z, x)))

    return f


def linf_in_l2(z, x, radius, norm):
    return SOLUTIONS["project"](z, x, radius, {"L2": "Linf", "Linf": "L2"}[norm])


def shifted_in_place(z, x, radius, norm):
    z -= x
    return SOLUTIONS["project"](z + x, x, radius, norm)


def clipped_in_place(z, x, radius, norm):
    return SOLUTIONS["project"](z.clamp_(0, 1), x, radius, norm)


# visualisation_step


def pull_right(v, squared):
    return 2 * v if squared else v / size(v)


def climbed(score=own, pull=pull_right, direction=unit, join=lambda s, lam, p: s - lam * p, clip=lambda z: z, grad=autograd,
            last=lambda v, rate, g: v + rate * g):  # fmt: skip
    """A `visualisation_step` by rules."""

    def f(net, u, target, rate, lam, squared):
        v = u.detach()
        slope = sloped(score, grad=grad)(net, u, target)
        return clip(last(v, rate, direction(join(slope, lam, pull(v, squared)))))

    return f


def of_norm(rule):
    """A penalty's gradient that is wrong for |u| alone."""
    return climbed(pull=lambda v, squared: 2 * v if squared else rule(v))


def of_square(rule):
    """A penalty's gradient that is wrong for |u|^2 alone."""
    return climbed(pull=lambda v, squared: rule(v) if squared else v / size(v))


def by_penalty(penalty, leaf=private):
    """A `visualisation_step` whose J is written down, for autograd."""

    def f(net, u, target, rate, lam, squared):
        z = leaf(u)
        j = own(net(z), target).sum() - lam * penalty(z, squared)
        (g,) = torch.autograd.grad(j, z)
        return u.detach() + rate * unit(g)

    return f


def norms(z, squared):
    length = z.flatten(1).norm(dim=1)
    return (length**2 if squared else length).sum()


def roots(z, squared):
    squares = z.square().sum((1, 2, 3))
    return (squares if squared else squares.sqrt()).sum()


def batch_norms(z, squared):
    return z.square().sum() if squared else z.norm()


def whole_batch_squared(z, squared):
    return z.norm() ** 2 if squared else z.square().sum().sqrt()


def score_normalised(net, u, target, rate, lam, squared):
    g = unit(sloped()(net, u, target)) - lam * pull_right(u, squared)
    return u + rate * g


def score_normalised_first(net, u, target, rate, lam, squared):
    g = unit(sloped()(net, u, target)) - lam * pull_right(u, squared)
    return u + rate * unit(g)


def scores_length(net, u, target, rate, lam, squared):
    slope = sloped()(net, u, target)
    return u + rate * (slope - lam * pull_right(u, squared)) / size(slope)


def penalty_after(net, u, target, rate, lam, squared):
    return u + rate * unit(sloped()(net, u, target)) - lam * pull_right(u, squared)


def decayed(net, u, target, rate, lam, squared):
    return (u + rate * unit(sloped()(net, u, target))) * (1 - lam)


def u_in_place(net, u, target, rate, lam, squared):
    u += SOLUTIONS["visualisation_step"](net, u, target, rate, lam, squared) - u
    return u


def from_z_with_penalty(net, u, target, rate, lam, squared):
    z = private(u)
    (slope,) = torch.autograd.grad(own(net(z), target).sum(), z)
    return z + rate * unit(slope - lam * pull_right(z, squared))


def from_u(net, u, target, rate, lam, squared):
    return u + rate * unit(sloped()(net, u, target) - lam * pull_right(u, squared))


def image_by_image(net, u, target, rate, lam, squared):
    """Right: image by image, and where by hand."""
    rows = []
    for v, k in zip(u.detach(), target.tolist(), strict=True):
        z = private(v[None])
        (slope,) = torch.autograd.grad(net(z)[0, k], z)
        length = float(v.square().sum()) ** 0.5
        pull = 2 * v if squared else (v / length if length else torch.zeros_like(v))
        g = slope[0] - lam * pull
        rows.append(v + rate * g / g.norm() if g.any() else v)
    return torch.stack(rows)


MISTAKES = [
    *[("saliency", mapped(slope=sloped(score)), words) for score, words in SCORES],
    ("saliency", mapped(slope=sloped(cross_entropy)), "log-softmax, as in the cross-entropy"),
    ("saliency", mapped(slope=sloped(lambda s, y: s[0, y])), "of the first image alone"),
    ("saliency", mapped(slope=sloped(lambda s, y: s[0, y[0]])), "this works for a batch of one alone"),
    ("saliency", one_image_item, "for a batch of one image only"),
    ("saliency", mapped(slope=lambda net, x, y: torch.autograd.grad(own(net(x), y).sum(), x)[0]), "needs requires_grad_()"),
    ("saliency", mapped(slope=lambda net, x, y: torch.autograd.grad(own(net(private(x)), y), private(x))[0]), "sum the scores"),
    ("saliency", mapped(slope=lambda net, x, y: torch.autograd.grad(own(net(private(x)), y).sum(), private(x))[0]),
     "not by a copy"),
    ("saliency", mapped(evaluate=lambda net: None), "training mode in batch norm and dropout"),
    ("saliency", mapped(evaluate=batch_norm_only), "training mode in dropout"),
    ("saliency", mapped(evaluate=dropout_only), "training mode in batch norm"),
    ("saliency", mapped(restore=lambda net, modes: None), "it is still in evaluation mode"),
    ("saliency", mapped(restore=lambda net, modes: net.train()), "everything was put into training mode"),
    ("saliency", mapped(restore=lambda net, modes: net.train(modes[0][1])), "sets all modules alike"),
    ("saliency", mapped(restore=children_only), "only some modes were put back"),
    ("saliency", mapped(safe=False), "they belong under `finally:`"),
    ("saliency", quietly("saliency"), "swallowed it"),
    ("saliency", mapped(lambda g: g.amax(1)), "the absolute value is missing"),
    ("saliency", mapped(lambda g: g.amax(1).abs()), "after the maximum over channels"),
    ("saliency", mapped(lambda g: g.amin(1)), "the lowest slope of the channels"),
    ("saliency", mapped(lambda g: g.abs().amin(1)), "the smallest of the channels"),
    ("saliency", mapped(lambda g: g.clamp(min=0).amax(1)), "slopes below 0 were cut off"),
    ("saliency", mapped(lambda g: g.abs().mean(1)), "this is the mean over channels: it is"),
    ("saliency", mapped(lambda g: g.abs().sum(1)), "this is the sum over channels: it is"),
    ("saliency", mapped(lambda g: g.mean(1).abs()), "the mean over channels before the absolute value"),
    ("saliency", mapped(lambda g: g.sum(1).abs()), "the sum over channels before the absolute value"),
    ("saliency", mapped(lambda g: g.norm(dim=1)), "the Euclidean length over channels"),
    ("saliency", mapped(lambda g: g.square().amax(1)), "this is the squared slope"),
    ("saliency", mapped(lambda g: g[:, 0].abs()), "the red channel alone"),
    ("saliency", mapped(lambda g: g.abs().amax(0)), "dimension 0 is the batch"),
    ("saliency", mapped(lambda g: g.abs().amax((0, 1))), "over images and channels"),
    ("saliency", mapped(lambda g: g.abs()), "the channels are still there"),
    ("saliency", mapped(lambda g: g.abs().amax(1, keepdim=True)), "without keepdim"),
    ("saliency", mapped(lambda g: g.abs().amax(1).squeeze()), "without squeeze()"),
    ("saliency", mapped(slope=sloped(lambda s, y: own(s, y).mean())), "which divides each map by B"),
    ("saliency", mapped(then=normalised), "divided by its largest value"),
    ("saliency", mapped(then=stretched), "stretched to 0..1"),
    ("saliency", mapped(then=lambda m: m / m.max()), "the largest value of all"),
    ("saliency", lambda net, x, y: (mapped(lambda g: g)(net, x, y) * x).abs().amax(1), "(gradient times input)"),
    ("saliency", mapped(then=lambda m: m.transpose(1, 2)), "height and width are swapped"),
    ("saliency", mapped(then=lambda m: None), "no return statement"),
    ("saliency", mapped(slope=sloped(grad=by_backward)), "stores nothing"),
    ("saliency", mapped(slope=sloped(grad=then_zeroed)), "clears also what was there before"),
    ("saliency", mapped(slope=sloped(grad=then_zeros)), "a gradient where there was none"),
    ("saliency", mapped(slope=sloped(grad=with_graph)), "leave it out"),
    ("saliency", mapped(slope=sloped(leaf=callers_x)), "x.requires_grad as it was"),
    ("saliency", mapped(slope=sloped(leaf=retained, grad=put_back_after_backward)), "leads back to x"),
    ("saliency", mapped(slope=sloped(leaf=callers_x, grad=put_back_after_backward)), "x.grad as it was"),
    ("saliency", touched("saliency", brightened), "x unchanged"),
    ("saliency", touched("saliency", cleared), "it belongs to the caller"),
    ("saliency", touched("saliency", frozen), "no requires_grad_() on its parameters"),
    ("saliency", touched("saliency", thawed), "no requires_grad_() on its parameters"),
    ("saliency", touched("saliency", gradients_off), "that nobody takes back"),
    ("integrated_gradients", integrated(lambda n: [1.0] * n), "the slope at x alone"),
    ("integrated_gradients", integrated(lambda n: [0.0] * n), "the slope at the baseline alone"),
    ("integrated_gradients", integrated(lambda n: [0.5] * n), "the slope halfway alone"),
    ("integrated_gradients", integrated(lambda n: [k / n for k in range(n)]), "at the left ends of the parts"),
    ("integrated_gradients", integrated(lambda n: [(k + 1) / n for k in range(n)]), "at the right ends of the parts"),
    ("integrated_gradients", integrated(lambda n: torch.linspace(0, 1, n)), "linspace(0, 1, steps), with both ends"),
    ("integrated_gradients", integrated(lambda n: [(k + 1) / (n + 1) for k in range(n)]), "k / (steps + 1)"),
    ("integrated_gradients", integrated(lambda n: [k / n for k in range(n + 1)], weigh=lambda total, n: total / (n + 1)),
     "the mean over steps + 1 points"),
    ("integrated_gradients", integrated(lambda n: [k / n for k in range(n + 1)]), "the sum over steps + 1 points"),
    ("integrated_gradients", integrated(lambda n: [k / n for k in range(n + 1)],
                                        weights=lambda n, m: [0.5, *[1.0] * (n - 1), 0.5]), "the trapezoid rule"),
    ("integrated_gradients", integrated(lambda n: [0.5 - 0.5 * 0.6**0.5, 0.5, 0.5 + 0.5 * 0.6**0.5],
                                        weights=lambda n, m: [5 / 18, 8 / 18, 5 / 18], weigh=lambda total, n: total),
     "the integral itself, by another rule"),
    ("integrated_gradients", integrated(factor=lambda x, b: 1), "the factor x - b is missing"),
    ("integrated_gradients", integrated(factor=lambda x, b: x), "was multiplied by x: the factor"),
    ("integrated_gradients", integrated(factor=lambda x, b: (x - b).abs()), "multiplied by |x - b|"),
    ("integrated_gradients", integrated(factor=lambda x, b: b - x), "the sign is turned"),
    ("integrated_gradients", integrated(weigh=lambda total, n: total), "the sum over the steps: take their mean"),
    ("integrated_gradients", integrated(weigh=lambda total, n: total, factor=lambda x, b: 1), "over the steps, without x - b"),
    ("integrated_gradients", integrated(weigh=lambda total, n: total / n / n), "divided by steps twice"),
    ("integrated_gradients", integrated(change=torch.abs), "the slopes' absolute values were averaged"),
    ("integrated_gradients", integrated(result=torch.abs), "this is the absolute value"),
    ("integrated_gradients", integrated(place=lambda x, b, t: t * x, factor=lambda x, b: x), "the baseline was ignored"),
    ("integrated_gradients", integrated(place=lambda x, b, t: t * x), "the way begins at black rather than at b"),
    ("integrated_gradients", integrated(place=lambda x, b, t: b + t * x), "the points are b + share * x"),
    ("integrated_gradients", lambda net, x, y, baseline, steps: integrated()(net, x, y, baseline[:1].expand_as(x), steps),
     "the first image's baseline"),
    ("integrated_gradients", integrated(result=lambda out: out.sum(1)), "the channels were added up"),
    ("integrated_gradients", integrated(result=lambda out: out.abs().amax(1)), "as for saliency"),
    ("integrated_gradients", integrated(result=lambda out: out / out.abs().max()), "add up to what the logit gains"),
    ("integrated_gradients", integrated(result=lambda out: None), "no return statement"),
    *[("integrated_gradients", integrated(slope=sloped(score)), words) for score, words in SCORES],
    ("integrated_gradients", integrated(slope=sloped(cross_entropy)), "the other sign of log-softmax"),
    ("integrated_gradients", integrated(slope=sloped(lambda s, y: own(s, y).mean())), "divides by B"),
    ("integrated_gradients", integrated(slope=sloped(lambda s, y: s[0, y.item()])), "for a batch of one image only"),
    ("integrated_gradients", integrated(slope=sloped(grad=with_graph)), "create_graph=True, or"),
    ("integrated_gradients", integrated(slope=sloped(grad=by_backward)), "stores nothing"),
    ("integrated_gradients", integrated(slope=sloped(grad=then_zeroed)), "clears also what was there before"),
    ("integrated_gradients", in_place, "x unchanged"),
    ("integrated_gradients", path_on_the_baseline, "baseline unchanged"),
    ("integrated_gradients", touched("integrated_gradients", required), "x.requires_grad as it was"),
    ("integrated_gradients", touched("integrated_gradients", frozen), "no requires_grad_() on its parameters"),
    ("integrated_gradients", touched("integrated_gradients", lambda net, *args: net.train()), "training mode, also what"),
    ("integrated_gradients", touched("integrated_gradients", gradients_off), "that nobody takes back"),
    ("deletion_curve", deleted(lambda maps: ranks(-maps)), "the lowest values were deleted first"),
    ("deletion_curve", deleted(picture=lambda x, fill, gone: torch.where(gone, x, fill)), "an insertion curve"),
    ("deletion_curve", deleted(count=lambda share, n: n - round(share * n)), "kept rather than deleted"),
    ("deletion_curve", deleted(lambda maps: ranks(maps[:1]).expand(len(maps), -1)), "the first map's order was used for all"),
    ("deletion_curve", deleted(read_in_columns), "have to be put back so"),
    ("deletion_curve", deleted(put_in_columns), "have to be put back so"),
    ("deletion_curve", deleted(on=True), "went on from the result of the one before"),
    ("deletion_curve", painted, "went on from the result of the one before"),
    ("deletion_curve", painted, "x unchanged"),
    ("deletion_curve", deleted(lambda maps: maps.flatten(1).argsort(dim=1, descending=True)), "one argsort, and its entries"),
    ("deletion_curve", deleted(lambda maps: maps.flatten(1).argsort(dim=1)), "one argsort, from the lowest"),
    ("deletion_curve", deleted(lambda maps: ranks(maps.abs())), "the values' sizes were ranked"),
    ("deletion_curve", deleted(count=lambda share, n: int(share * n)), "was rounded down"),
    ("deletion_curve", deleted(count=lambda share, n: int(np.ceil(share * n))), "was rounded up"),
    ("deletion_curve", deleted(count=lambda share, n: round(share * n) + 1), "one pixel too many"),
    ("deletion_curve", deleted(count=lambda share, n: round(share * n) - 1), "one pixel too few"),
    ("deletion_curve", deleted(probability=own), "these are logits"),
    ("deletion_curve", deleted(probability=lambda s, y: own(s.log_softmax(1), y)), "the logarithm of the probability"),
    ("deletion_curve", deleted(probability=lambda s, y: s.softmax(1).amax(1)), "the class that is highest: follow class y"),
    ("deletion_curve", lambda net, x, y, maps, shares, fill: deleted()(net, x, net(x).argmax(1), maps, shares, fill),
     "the class that is highest for x"),
    ("deletion_curve", deleted(probability=lambda s, y: s.softmax(1)[:, 0]), "the probability of class 0"),
    ("deletion_curve", deleted(probability=lambda s, y: s.softmax(1)[:, y[0]]), "given the class of the first"),
    ("deletion_curve", deleted(probability=lambda s, y: s.softmax(1)[:, y]), "shape (7, 3, 3)"),
    ("deletion_curve", deleted(probability=lambda s, y: own(s.softmax(0), y)), "softmax over the images"),
    ("deletion_curve", deleted(picture=lambda x, fill, gone: x * ~gone), "deleted pixels were set to 0"),
    ("deletion_curve", deleted(picture=lambda x, fill, gone: torch.where(gone, fill.mean((2, 3), keepdim=True), x)),
     "fill was averaged"),
    ("deletion_curve", deleted(picture=lambda x, fill, gone: torch.where(gone, fill[:1], x)), "the first image's fill"),
    ("deletion_curve", lambda net, x, y, maps, shares, fill: deleted()(net, fill, y, maps, shares, x),
     "as if x and fill were swapped"),
    ("deletion_curve", deleted(picture=lambda x, fill, gone: torch.cat([torch.where(gone, fill, x)[:, :1], x[:, 1:]], 1)),
     "only one channel was replaced"),
    ("deletion_curve", relative(lambda share, top, low: share * top), "a threshold on the map's values"),
    ("deletion_curve", relative(lambda share, top, low: (1 - share) * top), "a threshold on the map's values"),
    ("deletion_curve", relative(lambda share, top, low: top - share * (top - low)), "a threshold on the map's values"),
    ("deletion_curve", deleted(result=lambda p, plain: p.T), "shares are the rows"),
    ("deletion_curve", deleted(result=lambda p, plain: p.mean(1)), "averaged over the images"),
    ("deletion_curve", deleted(result=lambda p, plain: plain - p), "what the probability has lost"),
    ("deletion_curve", deleted(result=lambda p, plain: p / plain), "relative to the probability before"),
    ("deletion_curve", deleted(result=lambda p, plain: None), "no return statement"),
    ("deletion_curve", deleted(grad=torch.enable_grad), "torch.no_grad() around the passes"),
    ("deletion_curve", sorted_shares, "into rising order"),
    ("deletion_curve", sorted_shares, "by sort() or pop()"),
    ("deletion_curve", touched("deletion_curve", gradients_off), "that nobody takes back"),
    ("deletion_curve", touched("deletion_curve", lambda net, x, y, maps, *args: maps.neg_()), "maps unchanged"),
    ("deletion_curve", touched("deletion_curve", lambda *args: args[-1].zero_()), "fill unchanged"),
    *[("fooling_step", fooled(sloped(score)), words) for score, words in SCORES],
    ("fooling_step", fooled(sloped(cross_entropy)), "the other sign of log-softmax"),
    ("fooling_step", fooled(sloped(lambda s, y: s[0, y.item()])), "for a batch of one image only"),
    *[("fooling_step", fooled(direction=direction), words) for direction, words in DIRECTIONS],
    ("fooling_step", fooled(length=lambda eta: 1), "the length of the step was ignored"),
    ("fooling_step", fooled(move=lambda x, step: step), "this is the step alone"),
    ("fooling_step", fooled(move=lambda x, step: x), "unmoved"),
    ("fooling_step", fooled(clip=lambda z: z), "it was not clipped"),
    ("fooling_step", fooled(clip=lambda z: z.clamp(-1, 1)), "clipped to -1..1"),
    ("fooling_step", fooled(clip=lambda z: z.clamp(max=1)), "values below 0 were not clipped"),
    ("fooling_step", fooled(clip=lambda z: z.clamp(min=0)), "values above 1 were not clipped"),
    ("fooling_step", fooled(clip=lambda z: None), "no return statement"),
    ("fooling_step", fooled(direction=plainly_divided), "the image stays where it is"),
    ("fooling_step", fooled(direction=plainly_divided, clip=lambda z: z.clamp(0, 1).nan_to_num(0)), "turned black"),
    ("fooling_step", fooled(direction=lambda g: g / g.flatten(1).norm(dim=1)), "after reshape(-1, 1, 1, 1)"),
    ("fooling_step", fooled(sloped(grad=by_backward)), "stores nothing"),
    ("fooling_step", fooled(sloped(grad=then_zeroed)), "clears also what was there before"),
    ("fooling_step", fooled(sloped(grad=with_graph)), "a result without a graph"),
    ("fooling_step", from_z, "made of a tensor that requires gradients"),
    ("fooling_step", from_x, "x may require gradients itself"),
    ("fooling_step", moved_in_place, "x unchanged"),
    ("fooling_step", fooled(sloped(leaf=callers_x)), "x.requires_grad as it was"),
    ("fooling_step", touched("fooling_step", frozen), "no requires_grad_() on its parameters"),
    ("fooling_step", touched("fooling_step", gradients_off), "that nobody takes back"),
    ("project", in_ball(linf_of=lambda z, x, r: z.clamp(-r, r)), "clip how far it is from x"),
    ("project", in_ball(lambda d, r: d.clamp(0, r)), "clipped to 0..radius"),
    ("project", in_ball(lambda d, r: d.clamp(max=r)), "but not those below"),
    ("project", in_ball(lambda d, r: d.clamp(min=-r)), "but not those above"),
    ("project", in_ball(lambda d, r: r * d.sign()), "each value was moved by all of radius"),
    ("project", in_ball(lambda d, r: d * (r / size(d)).clamp(max=1)), "this is the L2 ball"),
    ("project", in_ball(lambda d, r: d * (r / d.abs().amax((1, 2, 3), keepdim=True)).clamp(max=1)), "whole image was scaled:"),
    ("project", linf_in_l2, "this is the L2 ball"),
    ("project", linf_in_l2, "this is the Linf ball"),
    ("project", in_ball(clip=lambda z: z), "it was not clipped to 0..1 in the end"),
    ("project", in_ball(clip=lambda z: z.clamp(-1, 1)), "clipped to -1..1"),
    ("project", in_ball(clip=lambda z: z.clamp(max=1)), "values below 0 were not clipped"),
    ("project", in_ball(clip=lambda z: z.clamp(min=0)), "values above 1 were not clipped"),
    ("project", in_ball(early=lambda z: z.clamp(0, 1), clip=lambda z: z), "which turns the straight line to x"),
    ("project", in_ball(early=lambda z: z.clamp(0, 1)), "which turns the straight line to x"),
    ("project", in_ball(move=lambda x, d: d), "this is the way from x"),
    ("project", in_ball(linf_of=lambda z, x, r: z, l2_of=lambda z, x, r: z), "nothing was brought back"),
    ("project", lambda z, x, radius, norm: x, "this is x itself"),
    ("project", lambda z, x, radius, norm: SOLUTIONS["project"](x, z, radius, norm), "z and x are swapped"),
    ("project", in_ball(l2=lambda d, r, z, x: r * unit(d)), "was pushed out to its surface"),
    ("project", in_ball(l2=lambda d, r, z, x: d * (r / d.norm()).clamp(max=1)), "distance was taken over the whole batch"),
    ("project", in_ball(l2=lambda d, r, z, x: d * (r / channel_size(d)).clamp(max=1)), "distance was taken of each channel"),
    ("project", in_ball(l2=lambda d, r, z, x: d * (r / size(z)).clamp(max=1)), "divided by |z|"),
    ("project", in_ball(l2_of=lambda z, x, r: z * (r / size(z)).clamp(max=1)), "was brought to the length of radius"),
    ("project", in_ball(l2_of=lambda z, x, r: z * (r / size(z - x)).clamp(max=1)), "scaled by radius / |z - x|"),
    ("project", in_ball(l2=lambda d, r, z, x: d * (r / size(d) ** 2).clamp(max=1)), "divided by the squared distance"),
    ("project", in_ball(l2=lambda d, r, z, x: torch.where(size(d) ** 2 > r, r * unit(d), d)), "the squared distance was comp"),
    ("project", in_ball(l2=lambda d, r, z, x: torch.where(size(d) > r, unit(d), d)), "a distance of 1, not of radius"),
    ("project", in_ball(l2=lambda d, r, z, x: d.clamp(-r, r)), "this is the Linf ball"),
    ("project", in_ball(l2=lambda d, r, z, x: d * (r / d.abs().sum((1, 2, 3), keepdim=True)).clamp(max=1)),
     "by the sum of |differences|"),
    ("project", in_ball(l2=lambda d, r, z, x: torch.where(size(d) > r, 0 * d, d)), "sent back to x"),
    ("project", in_ball(l2=lambda d, r, z, x: plainly_divided(d) * d.flatten(1).norm(dim=1).clamp(max=r).reshape(-1, 1, 1, 1)),
     "radius / |z - x| divides by 0"),
    ("project", in_ball(clip=lambda z: None), "no return statement"),
    ("project", shifted_in_place, "z and x unchanged"),
    ("project", clipped_in_place, "z and x unchanged"),
    *[("visualisation_step", climbed(score), words) for score, words in SCORES],
    ("visualisation_step", climbed(cross_entropy), "the other sign of log-softmax"),
    ("visualisation_step", climbed(lambda s, y: s[0, y.item()]), "for a batch of one image only"),
    *[("visualisation_step", climbed(direction=direction), words) for direction, words in DIRECTIONS],
    ("visualisation_step", climbed(last=lambda v, rate, g: v + g), "the length of the step was ignored"),
    ("visualisation_step", climbed(last=lambda v, rate, g: rate * g), "this is the step alone"),
    ("visualisation_step", climbed(join=lambda s, lam, p: s), "the penalty is missing"),
    ("visualisation_step", climbed(join=lambda s, lam, p: s + lam * p), "the penalty was added"),
    ("visualisation_step", climbed(join=lambda s, lam, p: s - p), "lam is missing"),
    ("visualisation_step", climbed(join=lambda s, lam, p: -lam * p), "the score is missing"),
    ("visualisation_step", of_square(unit), "the penalty is |u|: with"),
    ("visualisation_step", of_norm(lambda v: 2 * v), "the penalty is |u|^2: without"),
    ("visualisation_step", climbed(pull=lambda v, squared: pull_right(v, not squared)), "the penalty is |u|: with"),
    ("visualisation_step", climbed(pull=lambda v, squared: pull_right(v, not squared)), "the penalty is |u|^2: without"),
    ("visualisation_step", of_square(lambda v: v), "the 2 is missing"),
    ("visualisation_step", of_norm(lambda v: v), "half of |u|^2"),
    ("visualisation_step", of_norm(lambda v: v / size(v) ** 2), "divided by the squared length: the gradient of |u| is"),
    ("visualisation_step", of_norm(lambda v: 2 * unit(v)), "has length 1, not 2"),
    ("visualisation_step", of_square(lambda v: 2 * v * size(v)), "was multiplied by |u|"),
    ("visualisation_step", climbed(pull=lambda v, squared: size(v) ** (2 if squared else 1)), "its gradient is meant"),
    ("visualisation_step", climbed(pull=lambda v, squared: v.sign()), "the penalty is the sum of |values|"),
    ("visualisation_step", by_penalty(batch_norms), "|u| was taken over the whole batch"),
    ("visualisation_step", by_penalty(whole_batch_squared), "|u| was taken over the whole batch"),
    ("visualisation_step", of_norm(lambda v: v / channel_size(v)), "|u| was taken of each channel"),
    ("visualisation_step", by_penalty(lambda z, squared: norms(z, squared) / len(z)), "averaged over the batch"),
    ("visualisation_step", by_penalty(lambda z, squared: norms(z, squared) / z[0].numel()), "averaged over the values"),
    ("visualisation_step", score_normalised, "only the slope of the score was divided"),
    ("visualisation_step", score_normalised_first, "before the penalty came in"),
    ("visualisation_step", scores_length, "by the length of the score's slope"),
    ("visualisation_step", penalty_after, "the penalty came in after"),
    ("visualisation_step", decayed, "as weight decay does"),
    ("visualisation_step", climbed(clip=lambda z: z.clamp(0, 1)), "in the units of the net, without clipping"),
    ("visualisation_step", climbed(clip=lambda z: None), "no return statement"),
    ("visualisation_step", by_penalty(roots), "where u = 0, u / |u| is 0 / 0"),
    ("visualisation_step", climbed(pull=lambda v, squared: 2 * v if squared else plainly_divided(v)), "where u = 0, u / |u|"),
    ("visualisation_step", climbed(direction=plainly_divided), "where g = 0"),
    ("visualisation_step", climbed(grad=by_backward), "stores nothing"),
    ("visualisation_step", climbed(grad=then_zeroed), "clears also what was there before"),
    ("visualisation_step", climbed(grad=with_graph), "a result without a graph"),
    ("visualisation_step", from_z_with_penalty, "made of a tensor that requires gradients"),
    ("visualisation_step", from_u, "u may require gradients itself"),
    ("visualisation_step", u_in_place, "u unchanged"),
    ("visualisation_step", by_penalty(norms, callers_x), "u.requires_grad as it was"),
    ("visualisation_step", touched("visualisation_step", frozen), "no requires_grad_() on its parameters"),
    ("visualisation_step", touched("visualisation_step", gradients_off), "that nobody takes back"),
]  # fmt: skip


ALSO_RIGHT = [
    ("saliency", mapped()),
    ("saliency", mapped(lambda g: torch.maximum(g, -g).max(dim=1)[0], slope=sloped(lambda s, y: s[torch.arange(len(y)), y]))),
    ("saliency", mapped(lambda g: torch.from_numpy(np.abs(g.numpy()).max(axis=1)), slope=sloped(leaf=attached))),
    ("saliency", mapped(slope=by_loop)),
    ("saliency", lambda net, x, y: by_loop(net, x, y).abs().amax(1)),
    ("saliency", lambda net, x, y: by_a_copy(net, x, y).abs().amax(1)),
    ("saliency", lambda net, x, y: by_func(net, x, y).abs().amax(1)),
    ("saliency", mapped(slope=sloped(grad=put_back_after_backward))),
    ("saliency", flag_put_back),
    ("saliency", frozen_meanwhile),
    ("integrated_gradients", integrated()),
    ("integrated_gradients", all_at_once),
    ("integrated_gradients", kept_in_float32),
    ("integrated_gradients", integrated(lambda n: [1 - t for t in midpoints(n)], by_loop,
                                        place=lambda x, b, t: (1 - t) * b + t * x)),
    ("integrated_gradients", integrated(slope=by_func, weigh=lambda total, n: total * (1 / n))),
    ("integrated_gradients", integrated(lambda n: (np.arange(n) + 0.5) / n, by_a_copy)),
    ("integrated_gradients", integrated(slope=sloped(grad=put_back_after_backward))),
    ("deletion_curve", deleted()),
    ("deletion_curve", by_topk),
    ("deletion_curve", by_numpy),
    ("deletion_curve", deleted(picture=lambda x, fill, gone: x * ~gone + fill * gone, grad=torch.inference_mode)),
    ("deletion_curve", deleted(grad=torch.enable_grad, result=lambda p, plain: p.detach())),
    ("fooling_step", fooled()),
    ("fooling_step", fooled(by_loop, lambda g: F.normalize(g.flatten(1), dim=1).view_as(g))),
    ("fooling_step", fooled(by_func, lambda g: plainly_divided(g).nan_to_num(0), lambda z: z.clamp(max=1).relu())),
    ("fooling_step", fooled(by_a_copy, lambda g: g / (size(g) + 1e-10), lambda z: z.minimum(torch.ones(())).clamp(min=0))),
    ("fooling_step", fooled(sloped(grad=put_back_after_backward))),
    ("fooling_step", lambda net, x, target, eta: fooled()(net, x, target, eta).clone().numpy()),
    ("project", in_ball()),
    ("project", in_ball(linf_of=lambda z, x, r: torch.max(torch.min(z, x + r), x - r))),
    ("project", in_ball(linf_of=lambda z, x, r: z.clamp(0, 1).maximum(x - r).minimum(x + r), clip=lambda z: z.clamp(0, 1))),
    ("project", in_ball(l2=lambda d, r, z, x: d.flatten(1).renorm(2, 0, r).view_as(d))),
    ("project", in_ball(l2_of=lambda z, x, r: torch.where(size(z - x) > r, x + r * unit(z - x), z))),
    ("project", in_ball(l2=lambda d, r, z, x: d / (size(d) / r).clamp(min=1),
                        clip=lambda z: torch.tensor(z.numpy().clip(0, 1)))),
    ("project", in_ball(l2=lambda d, r, z, x: torch.stack([v * min(1, r / max(float(v.norm()), 1e-9)) for v in d]))),
    ("visualisation_step", climbed()),
    ("visualisation_step", by_penalty(norms)),
    ("visualisation_step", image_by_image),
    ("visualisation_step", climbed(pull=lambda v, squared: 2 * v if squared else F.normalize(v.flatten(1)).view_as(v))),
    ("visualisation_step", climbed(pull=lambda v, squared: 2 * v if squared else plainly_divided(v).nan_to_num(0))),
    ("visualisation_step", climbed(grad=put_back_after_backward)),
    ("visualisation_step", lambda net, u, target, rate, lam, squared: climbed(lambda s, y: s[range(len(y)), y])(
        net, u, target, rate, lam, bool(squared))),
]  # fmt: skip
