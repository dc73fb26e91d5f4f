"""Lab 08: solutions, right variants, and known mistakes with the words that each must be told (see test_checks.py)."""

import math

import torch
import torch.nn.functional as F
from notebook_source import namespace

from labkit.check import dann as check  # noqa: F401 - read by test_checks.py

LAB = "08_dann"
SOLUTIONS = namespace(LAB, "reverse", "three-parts", "dann-loss", "ramp", "pseudo-labels", "proxy-a-distance")
CHECKS = ["reverse", "three_parts", "dann_loss", "ramp", "pseudo_labels", "proxy_a_distance"]


def reversal(back, forward=lambda x, s: x.view_as(x)):
    """A wrong `reverse` with rules of its own: forward (x, s) and back (s, gradient, features)."""

    class Rule(torch.autograd.Function):
        @staticmethod
        def forward(ctx, features, strength):
            ctx.strength, ctx.features = strength, features
            return forward(features, strength)

        @staticmethod
        def backward(ctx, grad):
            return back(ctx.strength, grad, ctx.features), None

    return lambda features, strength: Rule.apply(features, strength)


def right_back(s, g, x):
    return g * s * -1


def global_strength():
    """A wrong `reverse` in which all calls share the strength of the last one."""
    kept = []
    back = reversal(lambda s, g, x: right_back(kept[-1], g, x))

    def f(features, strength):
        kept.append(strength)
        return back(features, strength)

    return f


def rounds(features, strength):
    return (1 + strength) * features.detach() - strength * features


def in_place(features, strength):
    right = SOLUTIONS["reverse"](features.clone(), strength)
    features.data.mul_(-strength)
    return right


def only_numbers(features, strength):
    return SOLUTIONS["reverse"](features, float(strength))


def mean_strength(features, strength):
    return SOLUTIONS["reverse"](features, torch.as_tensor(strength).mean())


def off_at_zero(features, strength):
    if torch.is_tensor(strength) or strength:
        return SOLUTIONS["reverse"](features, strength)
    return features


def other_type(features, strength):
    return SOLUTIONS["reverse"](features.double(), strength)


def wired(label=None, domain=None, pair=lambda c, d: (c, d)):
    """A wrong `three_parts`: what goes on with (features, x, label_head or domain_head, reverse)."""

    def f(extractor, label_head, domain_head, reverse, x):
        h = extractor(x)
        c = label(h, x, label_head, reverse, extractor) if label else label_head(h)
        d = domain(h, x, domain_head, reverse, extractor) if domain else domain_head(reverse(h)).squeeze(-1)
        return pair(c, d)

    return f


def called_twice(extractor, label_head, domain_head, reverse, x):
    return label_head(extractor(x)), domain_head(reverse(extractor(x))).squeeze(-1)


def all_detached(extractor, label_head, domain_head, reverse, x):
    return SOLUTIONS["three_parts"](lambda x: extractor(x).detach(), label_head, domain_head, reverse, x)


def no_grad(extractor, label_head, domain_head, reverse, x):
    with torch.no_grad():
        return SOLUTIONS["three_parts"](extractor, label_head, domain_head, reverse, x)


def cross(rows, labels):
    return -rows.log_softmax(-1).gather(-1, labels[..., None]).squeeze(-1)


def bits(z, truth):
    return F.binary_cross_entropy_with_logits(z, truth.expand_as(z).to(z.dtype), reduction="none")


def losses(c=None, d=None):
    """A wrong `dann_loss`: c (rows, labels, n) and d (z, truth, n) take the place of the class and of the domain loss."""

    def f(class_logits, labels, domain_logits, n_source):
        right_c, right_d = SOLUTIONS["dann_loss"](class_logits, labels, domain_logits, n_source)
        truth = (torch.arange(domain_logits.shape[-1]) >= n_source).double()
        return (
            c(class_logits, labels, n_source) if c else right_c,
            d(domain_logits, truth, n_source) if d else right_d,
        )

    return f


def one_net_only(class_logits, labels, domain_logits, n_source):
    """Right for (B, 10), wrong for stacked nets."""
    truth = (torch.arange(len(domain_logits)) >= n_source).double()
    return (
        F.cross_entropy(class_logits[:n_source], labels),
        F.binary_cross_entropy_with_logits(domain_logits, truth),
    )


def over_all_nets(class_logits, labels, domain_logits, n_source):
    return tuple(loss.mean() for loss in SOLUTIONS["dann_loss"](class_logits, labels, domain_logits, n_source))


def same_for_all_nets(class_logits, labels, domain_logits, n_source):
    right = SOLUTIONS["dann_loss"](class_logits, labels, domain_logits, n_source)
    return tuple(loss.mean().expand(loss.shape) for loss in right)


def without_gradient(class_logits, labels, domain_logits, n_source):
    return tuple(loss.detach() for loss in SOLUTIONS["dann_loss"](class_logits, labels, domain_logits, n_source))


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


def best(logits):
    return logits.softmax(-1).amax(-1)


def chosen(labels=None, keep=None, pair=lambda labels, keep: (labels, keep)):
    """A wrong `pseudo_labels`: labels (logits, sure) and keep (logits, threshold) take the place of the right ones."""

    def f(logits, threshold):
        right, sure = logits.argmax(-1), best(logits) >= threshold
        return pair(
            labels(logits, sure) if labels else right,
            keep(logits, threshold) if keep else sure,
        )

    return f


def marks_in_place(logits, threshold):
    right = SOLUTIONS["pseudo_labels"](logits.clone(), threshold)
    logits.sub_(1)
    return right


def distance(eps):
    return lambda source_rate, target_rate: 2 * (1 - 2 * eps(source_rate, target_rate))


class OneGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features, strength):
        ctx.strength = strength
        return features.view_as(features)

    @staticmethod
    def backward(ctx, gradient):
        return -ctx.strength * gradient


class SavedNumber(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features, strength):
        ctx.save_for_backward(strength)
        return features.view_as(features)

    @staticmethod
    def backward(ctx, gradient):
        return -ctx.saved_tensors[0] * gradient, None


MISTAKES = [
    ("reverse", lambda features, strength: OneGradient.apply(features, strength), "None for the strength"),
    ("reverse", lambda features, strength: SavedNumber.apply(features, strength), "keep a number as ctx.strength"),
    ("ramp", lambda progress, gamma=10.0: 2 / 1 + math.exp(-gamma * progress) - 1, "brackets are missing"),
    ("pseudo_labels", lambda logits, threshold: logits.softmax(-1).max(-1), "values, then indices"),
    ("reverse", lambda features, strength: features, "nothing reverses it"),
    ("reverse", reversal(lambda s, g, x: -g), "reversed, but not scaled"),
    ("reverse", reversal(lambda s, g, x: s * g), "scaled, but not reversed"),
    ("reverse", reversal(right_back, lambda x, s: -x), "these were negated"),
    ("reverse", reversal(right_back, lambda x, s: s * x), "these were multiplied by strength"),
    ("reverse", lambda features, strength: features * -strength, "these were multiplied by -strength"),
    ("reverse", reversal(right_back, lambda x, s: 0 * x), "these were set to zero"),
    ("reverse", rounds, "sums whose parts should cancel do not in float32"),
    ("reverse", other_type, "keep the type of the features"),
    ("reverse", lambda features, strength: features.detach(), "a reversed gradient is not a missing one"),
    ("reverse", reversal(lambda s, g, x: None), "a reversed gradient is not a missing one"),
    ("reverse", reversal(lambda s, g, x: 0 * g), "set to zero, not turned round"),
    ("reverse", reversal(lambda s, g, x: torch.ones_like(g) * -s), "a constant -strength"),
    ("reverse", reversal(lambda s, g, x: -s * x), "multiplied with the features"),
    ("reverse", reversal(lambda s, g, x: -g / s), "divided by the strength"),
    ("reverse", reversal(lambda s, g, x: -s * s * g), "the strength was applied twice"),
    ("reverse", reversal(lambda s, g, x: s * s * g), "the whole reversal was applied twice"),
    ("reverse", reversal(lambda s, g, x: g.mul_(-s)), "backward works in place"),
    ("reverse", in_place, "an operation in place"),
    ("reverse", only_numbers, "the strength may be a tensor"),
    ("reverse", mean_strength, "the arms share one strength"),
    ("reverse", reversal(lambda s, g, x: -g * (s.flatten()[0] if torch.is_tensor(s) else s)), "of the first arm was used"),
    ("reverse", off_at_zero, "taken for 'no reversal'"),
    ("reverse", reversal(lambda s, g, x: -g * (s if torch.is_tensor(s) else s or 1.0)), "replaced by a default"),
    ("reverse", global_strength(), "the strength of the last call was used"),
    ("reverse", lambda features, strength: None, "no return statement"),
    ("reverse", lambda x, s: SOLUTIONS["reverse"](x, s), "keep the first line of the stub"),
    ("three_parts", wired(domain=lambda h, x, head, r, e: head(h).squeeze(-1)), "reverse was not used"),
    ("three_parts", wired(domain=lambda h, x, head, r, e: head(e(r(x))).squeeze(-1)), "x was reversed"),
    ("three_parts", lambda extractor, label_head, domain_head, reverse, x: (
        label_head(extractor(reverse(x))), domain_head(extractor(reverse(x))).squeeze(-1)), "x itself was reversed"),
    ("three_parts", wired(domain=lambda h, x, head, r, e: r(head(h)).squeeze(-1)), "trained to be wrong"),
    ("three_parts", wired(domain=lambda h, x, head, r, e: head(r(r(h))).squeeze(-1)), "reversed twice"),
    ("three_parts", wired(domain=lambda h, x, head, r, e: head(x).squeeze(-1)), "the domain head was fed x: it"),
    ("three_parts", wired(domain=lambda h, x, head, r, e: head(r(x)).squeeze(-1)), "the domain head was fed x, reversed"),
    ("three_parts", wired(domain=lambda h, x, head, r, e: head(r(h))), "the domain head has one output"),
    ("three_parts", wired(domain=lambda h, x, head, r, e: head(r(h)).squeeze()), "squeeze() without a dimension"),
    ("three_parts", wired(domain=lambda h, x, head, r, e: head(r(h)).squeeze(1)), "the domain head has one output"),
    ("three_parts", wired(domain=lambda h, x, head, r, e: head(r(h)).flatten()), "the domain head has one output"),
    ("three_parts", wired(domain=lambda h, x, head, r, e: head(r(h)).squeeze(-1).sigmoid()), "these are probabilities"),
    ("three_parts", wired(domain=lambda h, x, head, r, e: head(r(h.detach())).squeeze(-1)), "domain logits at the extractor"),
    ("three_parts", wired(label=lambda h, x, head, r, e: head(h.detach())), "class logits at the extractor"),
    ("three_parts", wired(label=lambda h, x, head, r, e: head(r(h))), "the label head was fed the reversed features"),
    ("three_parts", wired(label=lambda h, x, head, r, e: head(x)), "the label head was fed x"),
    ("three_parts", wired(label=lambda h, x, head, r, e: r(head(h))), "the class logits were reversed"),
    ("three_parts", wired(label=lambda h, x, head, r, e: head(h).softmax(-1)), "these are probabilities"),
    ("three_parts", wired(label=lambda h, x, head, r, e: head(h).argmax(-1)), "these are labels"),
    ("three_parts", wired(label=lambda h, x, head, r, e: head(h).squeeze()), "squeeze() without a dimension"),
    ("three_parts", wired(pair=lambda c, d: (d, c)), "the pair is swapped"),
    ("three_parts", wired(pair=lambda c, d: c), "a pair"),
    ("three_parts", wired(pair=lambda c, d: None), "no return statement"),
    ("three_parts", called_twice, "both heads share the features"),
    ("three_parts", all_detached, "both heads teach the extractor"),
    ("three_parts", no_grad, "both heads teach the extractor"),
    ("dann_loss", losses(d=lambda z, t, n: bits(z, 1 - t).mean(-1)), "the two domains are swapped"),
    ("dann_loss", losses(d=lambda z, t, n: bits(z, t)[..., :n].mean(-1)), "only the source images count"),
    ("dann_loss", losses(d=lambda z, t, n: bits(z, t)[..., n:].mean(-1)), "only the target images count"),
    ("dann_loss", losses(d=lambda z, t, n: (bits(z, t)[..., :n].mean(-1) + bits(z, t)[..., n:].mean(-1)) / 2),
     "the average of the two domains' averages"),
    ("dann_loss", losses(d=lambda z, t, n: bits(z, t)[..., :n].mean(-1) + bits(z, t)[..., n:].mean(-1)), "averages were added"),
    ("dann_loss", losses(d=lambda z, t, n: bits(z, t).sum(-1)), "average over all of them"),
    ("dann_loss", losses(d=lambda z, t, n: bits(z.sigmoid(), t).mean(-1)), "a sigmoid was applied before"),
    ("dann_loss", losses(d=lambda z, t, n: -bits(z, t).mean(-1)), "the loss was negated"),
    ("dann_loss", losses(d=lambda z, t, n: bits(z, t).mean(-1) / math.log(2)), "the logarithm to base 2"),
    ("dann_loss", losses(d=lambda z, t, n: bits(z, (torch.arange(8) >= 4).double()).mean(-1)), "split in half"),
    ("dann_loss", losses(d=lambda z, t, n: bits(z, t.flip(0)).mean(-1)), "the first images were taken for target"),
    ("dann_loss", losses(d=lambda z, t, n: bits(z, t)), "the images were not averaged"),
    ("dann_loss", losses(d=lambda z, t, n: F.binary_cross_entropy(z.sigmoid(), t.expand_as(z), reduction="none").mean(-1)),
     "0 or 1 to machine precision"),
    ("dann_loss", losses(d=lambda z, t, n: -(t * z.sigmoid().log() + (1 - t) * (1 - z.sigmoid()).log()).mean(-1)),
     "0 or 1 to machine precision"),
    ("dann_loss", losses(c=lambda r, y, n: cross(r[..., :n, :], y).sum(-1)), "the source images were summed"),
    ("dann_loss", losses(c=lambda r, y, n: cross(r[..., :n, :], y).sum(-1) / 8), "divided by all 8 images"),
    ("dann_loss", losses(c=lambda r, y, n: cross(r[..., -n:, :], y).mean(-1)), "the last rows of the batch"),
    ("dann_loss", losses(c=lambda r, y, n: cross(r[..., :n, :].softmax(-1), y).mean(-1)), "softmax was applied twice"),
    ("dann_loss", losses(c=lambda r, y, n: -cross(r[..., :n, :], y).mean(-1)), "minus the log-likelihood"),
    ("dann_loss", losses(c=lambda r, y, n: cross(r[..., :n, :], y).mean(-1) / math.log(2)), "the logarithm to base 2"),
    ("dann_loss", losses(c=lambda r, y, n: cross(r[..., :n, :], y)), "the images were not averaged"),
    ("dann_loss", losses(c=lambda r, y, n: -(r.softmax(-1)[..., :n, :].log().gather(-1, y[..., None])).mean((-1, -2))),
     "0 or 1 to machine precision"),
    ("dann_loss", lambda class_logits, labels, domain_logits, n_source: SOLUTIONS["dann_loss"](
        class_logits, labels, domain_logits, n_source)[::-1], "the pair is swapped"),
    ("dann_loss", lambda class_logits, labels, domain_logits, n_source: sum(SOLUTIONS["dann_loss"](
        class_logits, labels, domain_logits, n_source)), "a pair"),
    ("dann_loss", one_net_only, "for stacked nets"),
    ("dann_loss", over_all_nets, "the nets of a stack were averaged"),
    ("dann_loss", same_for_all_nets, "each net has images and labels of its own"),
    ("dann_loss", without_gradient, "an .item(), float(), detach()"),
    ("ramp", lambda progress, gamma=10.0: 2 * sigmoid(gamma * progress), "the - 1 is missing"),
    ("ramp", lambda progress, gamma=10.0: sigmoid(gamma * progress), "the plain sigmoid"),
    ("ramp", lambda progress, gamma=10.0: 2 * sigmoid(-gamma * progress) - 1, "the exponent has the wrong sign"),
    ("ramp", lambda progress, gamma=10.0: sigmoid(gamma * progress) - 1, "the factor 2 is missing"),
    ("ramp", lambda progress, gamma=10.0: 2 * sigmoid(10.0 * progress) - 1, "gamma is 10 whatever is given"),
    ("ramp", lambda progress, gamma=10.0: 2 * sigmoid(progress) - 1, "gamma was not used"),
    ("ramp", lambda progress, gamma=10.0: 2 * sigmoid(gamma * 100 * progress) - 1, "no percentage"),
    ("ramp", lambda progress, gamma=10.0: 2 * sigmoid(gamma * progress / 100) - 1, "divided by 100"),
    ("ramp", lambda progress, gamma=10.0: min(1.0, gamma * progress), "without the curve"),
    ("ramp", lambda progress, gamma=10.0: progress, "a straight line"),
    ("ramp", lambda progress, gamma=10.0: 2 * sigmoid(gamma * progress) - 1 if progress < 1 else 1.0, "just below 1"),
    ("ramp", lambda progress, gamma=10.0: math.tanh(gamma * progress), "twice as steep"),
    ("ramp", lambda progress, gamma=10.0: 1.0, "no ramp"),
    ("ramp", lambda p, g=10.0: 2 * sigmoid(g * p) - 1, "keep the first line of the stub"),
    ("pseudo_labels", chosen(keep=lambda x, t: x.amax(-1) >= t), "compared with logits"),
    ("pseudo_labels", chosen(keep=lambda x, t: best(x) < t), "turned round"),
    ("pseudo_labels", chosen(keep=lambda x, t: best(x) > t), "includes the threshold itself"),
    ("pseudo_labels", chosen(keep=lambda x, t: (best(x) >= t).double()), "a comparison is bool already"),
    ("pseudo_labels", chosen(keep=lambda x, t: (best(x) >= t).long()), "a comparison is bool already"),
    ("pseudo_labels", chosen(keep=lambda x, t: (best(x) >= t).nonzero().squeeze(-1)), "the numbers of the images"),
    ("pseudo_labels", chosen(keep=lambda x, t: x.softmax(-2).amax(-1) >= t), "do not add up to 1"),
    ("pseudo_labels", chosen(keep=lambda x, t: x.softmax(1).amax(-1) >= t), "do not add up to 1"),
    ("pseudo_labels", chosen(keep=lambda x, t: x.softmax(-1)[..., 0] >= t), "the probability of class 0"),
    ("pseudo_labels", chosen(keep=lambda x, t: x.sigmoid().amax(-1) >= t), "a sigmoid in place of the softmax"),
    ("pseudo_labels", chosen(keep=lambda x, t: best(x) >= best(x).quantile(t)), "keeps a share of the images"),
    ("pseudo_labels", chosen(keep=lambda x, t: best(x) >= best(x).quantile(1 - t)), "the best share of the images"),
    ("pseudo_labels", chosen(keep=lambda x, t: best(x) >= best(x).mean()), "the mean over the images"),
    ("pseudo_labels", chosen(keep=lambda x, t: x.softmax(-1).mean(-1) >= t), "the mean probability of the classes"),
    ("pseudo_labels", chosen(keep=lambda x, t: best(x) >= 0), "the threshold is not used"),
    ("pseudo_labels", chosen(keep=lambda x, t: best(x)), "compare it with the threshold"),
    ("pseudo_labels", chosen(labels=lambda x, sure: x.argmax(-1)[sure]), "the unsure images were left out"),
    ("pseudo_labels", chosen(labels=lambda x, sure: x.argmax(-1).where(sure, torch.tensor(-1))), "marked in the labels"),
    ("pseudo_labels", chosen(labels=lambda x, sure: x.argmax(-1) * sure), "set to class 0"),
    ("pseudo_labels", chosen(labels=lambda x, sure: x.argmin(-1)), "the least likely classes"),
    ("pseudo_labels", chosen(labels=lambda x, sure: x.argmax(-2)), "the best image of each class"),
    ("pseudo_labels", chosen(labels=lambda x, sure: best(x)), "these are probabilities"),
    ("pseudo_labels", chosen(labels=lambda x, sure: x.argmax(1)), "for stacked nets"),
    ("pseudo_labels", chosen(labels=lambda x, sure: x.argmax(-1).double()), "labels of type int64"),
    ("pseudo_labels", chosen(pair=lambda labels, keep: (keep, labels)), "the pair is swapped"),
    ("pseudo_labels", chosen(pair=lambda labels, keep: labels), "a pair"),
    ("pseudo_labels", chosen(pair=lambda labels, keep: None), "no return statement"),
    ("pseudo_labels", marks_in_place, "an operation in place"),
    ("proxy_a_distance", distance(lambda s, t: (s + t) / 2), "the accuracy was taken for eps"),
    ("proxy_a_distance", distance(lambda s, t: 1 - s), "only the source was looked at"),
    ("proxy_a_distance", distance(lambda s, t: 1 - t), "only the target was looked at"),
    ("proxy_a_distance", lambda source_rate, target_rate: source_rate + target_rate - 1, "the outer factor 2"),
    ("proxy_a_distance", lambda source_rate, target_rate: source_rate + target_rate, "the 2 before eps"),
    ("proxy_a_distance", distance(lambda s, t: 1 - s * t), "the rates were multiplied"),
    ("proxy_a_distance", distance(lambda s, t: (1 - s) * (1 - t)), "the errors were multiplied"),
    ("proxy_a_distance", distance(lambda s, t: 2 - s - t), "the errors were added"),
    ("proxy_a_distance", lambda source_rate, target_rate: (source_rate + target_rate) / 2, "this is the mean accuracy"),
    ("proxy_a_distance", lambda source_rate, target_rate: 1 - (source_rate + target_rate) / 2, "this is the mean error"),
    ("proxy_a_distance", distance(lambda s, t: (min(s, 1 - s) + min(t, 1 - t)) / 2), "turned round by itself"),
    ("proxy_a_distance", distance(lambda s, t: 1 - max(s, t)), "the better of the two"),
    ("proxy_a_distance", distance(lambda s, t: 1 - min(s, t)), "the worse of the two"),
    ("proxy_a_distance", lambda source_rate, target_rate: abs(2 * (source_rate + target_rate - 1)), "the absolute value"),
    ("proxy_a_distance", lambda source_rate, target_rate: max(0.0, 2 * (source_rate + target_rate - 1)), "cut off at 0"),
    ("proxy_a_distance", lambda source_rate, target_rate: 2 * (source_rate + target_rate - 1) if isinstance(source_rate, float)
     else (2 * (source_rate + target_rate - 1)).mean(), "the nets were averaged"),
]  # fmt: skip


def saved_tensors(features, strength):
    class Rule(torch.autograd.Function):
        @staticmethod
        def forward(ctx, features, strength):
            ctx.save_for_backward(torch.as_tensor(strength))
            return features.clone()

        @staticmethod
        def backward(ctx, grad):
            return grad.neg() * ctx.saved_tensors[0], None

    return Rule.apply(features, strength)


def by_one_hot(class_logits, labels, domain_logits, n_source):
    share = class_logits[..., :n_source, :].log_softmax(-1) * F.one_hot(labels, 10)
    own = torch.where(torch.arange(domain_logits.shape[-1]) < n_source, -domain_logits, domain_logits)
    return -share.sum(-1).mean(-1), -F.logsigmoid(own).mean(-1)


def flattened(class_logits, labels, domain_logits, n_source):
    truth = torch.cat([torch.zeros(n_source), torch.ones(domain_logits.shape[-1] - n_source)]).expand_as(domain_logits)
    rows = class_logits[..., :n_source, :].flatten(0, -2)
    class_loss = F.cross_entropy(rows, labels.flatten(), reduction="none").view(labels.shape).mean(-1)
    return class_loss, F.binary_cross_entropy_with_logits(domain_logits, truth, reduction="none").mean(-1)


ALSO_RIGHT = [
    ("reverse", saved_tensors),
    ("reverse", lambda features, strength: reversal(right_back, lambda x, s: x)(features, strength)),
    ("three_parts", wired(domain=lambda h, x, head, r, e: head(r(h))[..., 0])),
    ("three_parts", wired(pair=lambda c, d: [c, d])),
    ("dann_loss", by_one_hot),
    ("dann_loss", flattened),
    ("ramp", lambda progress, gamma=10.0: math.tanh(gamma * progress / 2)),
    ("ramp", lambda progress, gamma=10.0: 2 * torch.sigmoid(torch.tensor(gamma * progress)) - 1),
    ("pseudo_labels", lambda logits, threshold: (logits.argmax(-1), (logits.softmax(-1) >= threshold).any(-1))),
    ("proxy_a_distance", lambda source_rate, target_rate: 2 * (torch.as_tensor(source_rate) + target_rate - 1)),
]

#: Rows whose mistake changes no value that a submission gives; the checks see them
UNSEEN_BY_GRADING = {
    ("reverse", "keep the first line of the stub"): "arguments go in by place",
    ("ramp", "keep the first line of the stub"): "arguments go in by place",
}
