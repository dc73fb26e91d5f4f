"""Lab 02: solutions, right variants, and known mistakes with the words that each must be told (see test_checks.py)."""

import functools
import inspect
import math

import numpy as np
import torch
import torch.nn.functional as F
from notebook_source import altering, gradients_off, namespace, touching
from scipy import stats
from scipy.stats import binom
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from labkit.check import vit as check  # noqa: F401 - read by test_checks.py

LAB = "02_vit_attention"
SOLUTIONS = namespace(LAB, "top-k", "attention-map", "rollout", "keep-tokens", "two-probes", "mcnemar")
CHECKS = ["top_k", "attention_map", "rollout", "keep_tokens", "two_probes", "mcnemar"]
SIGNATURES = {name: inspect.signature(SOLUTIONS[name]) for name in CHECKS}


then, given = altering(SOLUTIONS, SIGNATURES)
touched = touching(SOLUTIONS, SIGNATURES)


# top_k


def chosen(probabilities=lambda z: z.softmax(1), order=lambda p, k: p.topk(k, dim=1).indices, values=None):
    """A `top_k` by rules: what is ranked, which classes are taken, and which numbers are returned with them."""

    def f(logits, k):
        p = probabilities(logits)
        found = order(p, k)
        return found, (values or (lambda logits, p: p))(logits, p).gather(1, found)

    return f


def by_loop(logits, k):
    """Right: image by image, in Python's own numbers."""
    classes, chances = [], []
    for row in logits.tolist():
        total = sum(math.exp(z) for z in row)
        best = sorted(range(len(row)), key=lambda i: -row[i])[:k]
        classes.append(best)
        chances.append([math.exp(row[i]) / total for i in best])
    return torch.tensor(classes), torch.tensor(chances)


def by_numpy(logits, k):
    """Right: arrays of NumPy."""
    z = logits.numpy()
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    order = np.argsort(-p, axis=1)[:, :k]
    return order, np.take_along_axis(p, order, 1)


def over_images(logits, k):
    found = logits.softmax(1).topk(k, dim=0)
    return found.indices, found.values


def over_images_turned(logits, k):
    found = logits.softmax(1).T.topk(k, dim=1)
    return found.indices, found.values


def rescaled(logits, k):
    found = logits.topk(k, dim=1)
    return found.indices, found.values.softmax(1)


def exponentials_in_place(logits, k):
    p = logits.exp_()
    p /= p.sum(1, keepdim=True)
    return chosen(lambda z: z)(p, k)


def ascending(p, k):
    return p.argsort(dim=1)[:, -k:]


# attention_map


def enlarge(grid, size):
    return F.interpolate(grid[:, None], size=(size, size), mode="bilinear", align_corners=False)[:, 0]


def mapped(row=lambda a: a.mean(1)[:, 0, 1:], scale=lambda r: r / r.mean(1, keepdim=True), big=enlarge,
           side=lambda r: math.isqrt(r.shape[1]), after=lambda m: m):  # fmt: skip
    """An `attention_map` by rules: the row of weights, what it is divided by, and how it is enlarged."""

    def f(attention, size):
        r = scale(row(attention))
        return after(big(r.reshape(len(r), side(r), side(r)), size))

    return f


def each_head_scaled(attention, size):
    rows = attention[:, :, 0, 1:]
    return mapped(row=lambda a: (rows / rows.mean(2, keepdim=True)).mean(1), scale=lambda r: r)(attention, size)


def with_own_weight(attention, size):
    """The class token's own weight counts for the mean."""
    row = attention.mean(1)[:, 0]
    return mapped(scale=lambda r: r / row.mean(1, keepdim=True))(attention, size)


def stretched(m):
    low, high = m.amin(-1, keepdim=True), m.amax(-1, keepdim=True)
    return (m - low) / (high - low)


def other_mode(**options):
    return mapped(big=lambda g, size: F.interpolate(g[:, None], size=(size, size), **options)[:, 0])


def divided_in_place(attention, size):
    row = attention.mean(1)[:, 0, 1:]
    attention[:, :, 0] /= row.mean()
    return mapped()(attention, size)


def map_by_loop(attention, size):
    """Right: image by image, and place by place."""
    maps = []
    for a in attention:
        row = sum(head[0] for head in a)[1:]
        side = round(len(row) ** 0.5)
        grid = torch.stack([row[i * side : (i + 1) * side] for i in range(side)]) * len(row) / row.sum()
        maps.append(F.interpolate(grid[None, None], size=size, mode="bilinear")[0, 0])
    return torch.stack(maps)


def map_by_einsum(attention, size):
    """Right: einsum and unflatten, the size as a factor of Upsample."""
    row = torch.einsum("bhp->bp", attention[:, :, 0, 1:])
    side = int(row.size(1) ** 0.5)
    grid = F.normalize(row, p=1, dim=1).mul(row.shape[1]).unflatten(1, (1, side, side))
    return torch.nn.Upsample((size, size), mode="bilinear")(grid).squeeze(1)


# rollout


def halved(a):
    return 0.5 * a + 0.5 * torch.eye(a.shape[-1], dtype=a.dtype)


def rolled(heads=lambda a: a.mean(1), residual=halved, join=None, which=list):
    """A `rollout` by rules: how heads are joined, the residual connection, and how layers follow each other."""

    def f(attentions):
        layers = [residual(heads(a)) for a in which(attentions)]
        return (join or (lambda m: functools.reduce(lambda total, one: one @ total, m)))(layers)

    return f


def normalised_rows(m):
    m = m + torch.eye(m.shape[-1], dtype=m.dtype)
    return m / m.sum(-1, keepdim=True)


def backwards(attentions):
    """Right: from the last layer to the first, each on the right."""
    total = None
    for a in reversed(attentions):
        total = halved(a.mean(1)) if total is None else total @ halved(a.mean(1))
    return total


def rolled_by_einsum(attentions):
    """Right: einsum, without a matrix of the identity, and normalised at the end."""
    total = torch.eye(attentions[0].shape[-1], dtype=torch.float64).expand(len(attentions[0]), -1, -1)
    for a in attentions:
        total = torch.einsum("bhij,bjk->bik", a, total) / a.shape[1] + total
    return total / total.sum(2, keepdim=True)


def rolled_by_numpy(attentions):
    """Right: arrays of NumPy."""
    steps = [0.5 * (a.numpy().mean(1) + np.eye(a.shape[-1])) for a in attentions]
    return functools.reduce(np.matmul, steps[::-1])


def reversed_in_place(attentions):
    layers = attentions if isinstance(attentions, list) else list(attentions)
    layers.reverse()
    return functools.reduce(torch.matmul, [halved(a.mean(1)) for a in layers])


def only_lists(attentions):
    attentions.reverse()
    return functools.reduce(torch.matmul, [halved(a.mean(1)) for a in attentions])


def tensors_in_place(attentions):
    for a in attentions:
        a.mul_(0.5).add_(0.5 * torch.eye(a.shape[-1], dtype=a.dtype))
    return rolled(residual=lambda m: m)(attentions)


def last_without(attentions):
    return attentions[-1].mean(1) @ rolled()(attentions[:-1]) if len(attentions) > 1 else attentions[0].mean(1)


def head_by_head(attentions):
    heads = range(attentions[0].shape[1])
    return sum(rolled(heads=lambda a, h=h: a[:, h])(attentions) for h in heads) / len(heads)


def residual_at_the_end(attentions):
    return halved(rolled(residual=lambda m: m)(attentions))


# keep_tokens


def finish(net, tokens, layers=list, norm=True, read=lambda t: t[:, 0]):
    """Tokens through the rest of the net."""
    for layer in layers(net.vit.layers):
        tokens = layer(tokens)
    return net.classifier(read(net.vit.layernorm(tokens) if norm else tokens))


def selected(tokens, keep_mask):
    return torch.cat([tokens[:, :1], tokens[:, 1:][keep_mask].reshape(len(tokens), -1, tokens.shape[-1])], 1)


def kept(mask=lambda m: m, pick=selected, **options):
    """A `keep_tokens` by rules: which mask, what becomes of the tokens, and how they go on."""
    return lambda net, x, keep_mask: finish(net, pick(net.vit.embeddings(x), mask(keep_mask)), **options)


def filled(value):
    """Hidden tokens are replaced."""

    def pick(tokens, keep_mask):
        patches = tokens[:, 1:]
        return torch.cat([tokens[:, :1], torch.where(keep_mask[..., None], patches, value(patches, keep_mask))], 1)

    return kept(pick=pick)


def mean_of_kept(patches, keep_mask):
    spots = keep_mask[..., None].to(patches.dtype)
    return (patches * spots).sum(1, keepdim=True) / spots.sum(1, keepdim=True)


def positioned(position):
    """Patches are selected without positions, which come in afterwards."""

    def f(net, x, keep_mask):
        e = net.vit.embeddings
        places = e.position_embeddings.expand(len(x), -1, -1)
        patches = e.patch_embeddings(x)
        patches = patches[keep_mask].reshape(len(x), -1, patches.shape[-1])
        tokens = torch.cat([e.cls_token.expand(len(x), -1, -1), patches], 1)
        return finish(net, tokens + position(places, tokens, keep_mask))

    return f


def blackened(net, x, keep_mask):
    side = x.shape[3] // 4
    spots = keep_mask.reshape(len(x), 1, -1, side).repeat_interleave(4, 2).repeat_interleave(4, 3)
    return net(x * spots).logits


def pixels_before(net, x, keep_mask):
    """Tokens are set to 0 before positions are added."""
    e = net.vit.embeddings
    tokens = torch.cat([e.cls_token.expand(len(x), -1, -1), e.patch_embeddings(x) * keep_mask[..., None]], 1)
    return finish(net, tokens + e.position_embeddings)


def with_class(keep_mask, own=True):
    return torch.cat([torch.full_like(keep_mask[:, :1], own), keep_mask], 1)


def by_attention_mask(net, x, keep_mask):
    """Right: the net's own mask of attention."""
    return net(x, attention_mask=with_class(keep_mask)).logits


def by_additive_mask(net, x, keep_mask):
    """Right: a mask that each layer adds to its scores."""
    low = torch.zeros(len(x), 1, 1, 1 + keep_mask.shape[1], dtype=x.dtype)
    low = low.masked_fill(~with_class(keep_mask)[:, None, None], float("-inf"))
    return finish(net, net.vit.embeddings(x), lambda layers: [lambda t, one=one: one(t, low) for one in layers])


def in_layers(which):
    """A mask of attention in some layers alone."""

    def f(net, x, keep_mask):
        low = torch.zeros(len(x), 1, 1, 1 + keep_mask.shape[1], dtype=x.dtype)
        low = low.masked_fill(~with_class(keep_mask)[:, None, None], float("-inf"))
        tokens = net.vit.embeddings(x)
        for i, layer in enumerate(net.vit.layers):
            tokens = layer(tokens, low if which(i) else None)
        return net.classifier(net.vit.layernorm(tokens)[:, 0])

    return f


def after_the_first_layer(net, x, keep_mask):
    first, *rest = net.vit.layers
    return finish(net, selected(first(net.vit.embeddings(x)), keep_mask), lambda layers: rest)


def image_by_image(net, x, keep_mask):
    """Right: image by image, without a graph."""
    with torch.no_grad():
        rows = [kept()(net, one[None], mask[None]) for one, mask in zip(x, keep_mask, strict=True)]
    return torch.cat(rows)


def gathered(net, x, keep_mask):
    """Right: torch.gather, in inference mode."""
    with torch.inference_mode():
        tokens = net.vit.embeddings(x)
        places = with_class(keep_mask).nonzero()[:, 1].reshape(len(x), -1)
        tokens = tokens.gather(1, places[..., None].expand(-1, -1, tokens.shape[-1]))
        out = finish(net, tokens)
    return out.clone()


def descending(tokens, keep_mask):
    """Right: the order of the tokens is as good as any other."""
    order = keep_mask.int().argsort(dim=1, descending=True)[:, : int(keep_mask[0].sum())].flip(1)
    return torch.cat([tokens[:, :1], tokens[:, 1:][torch.arange(len(tokens))[:, None], order]], 1)


def by_hook(net, x, keep_mask):
    """Right: a hook on the embeddings, taken off again."""
    handle = net.vit.embeddings.register_forward_hook(lambda module, args, out: selected(out, keep_mask))
    try:
        return net(x).logits.detach()
    finally:
        handle.remove()


def leaves_hook(net, x, keep_mask):
    net.vit.embeddings.register_forward_hook(lambda module, args, out: selected(out, keep_mask[: len(out)]))
    return net(x).logits


def one_long_list(tokens, keep_mask):
    return torch.cat([tokens[:, :1], tokens[:, 1:][keep_mask]], 1)


def in_one_image(tokens, keep_mask):
    return torch.cat([tokens[:, :1], tokens[:, 1:][keep_mask][None]], 1)


def zeroed_pixels_in_place(net, x, keep_mask):
    x.mul_(1.0)
    x += 1e-3
    return kept()(net, x - 1e-3, keep_mask)


def own_positions(net, x, keep_mask):
    net.vit.embeddings.position_embeddings.data.zero_()
    return kept()(net, x, keep_mask)


# two_probes


def scaled_first(train, test):
    scaler = StandardScaler().fit(train)
    return scaler.transform(train), scaler.transform(test)


def probed(cls=lambda t: t[:, 0], mean=lambda t: t[:, 1:].mean(1), scale=scaled_first, read=lambda p, z: p.predict_proba(z),
           views=None, **options):  # fmt: skip
    """A `two_probes` by rules: two views, how they are standardised, and what a probe is asked for."""

    def f(train_tokens, train_y, test_tokens):
        found = {}
        for name, view in (views or {"CLS": cls, "mean": mean}).items():
            train, test = scale(view(train_tokens), view(test_tokens))
            found[name] = read(LogisticRegression(**{"max_iter": 2000, **options}).fit(train, train_y), test)
        return found

    return f


def alone(x):
    return (x - x.mean(0)) / np.where(x.std(0) > 0, x.std(0), 1)


def by_hand(train, test):
    """Right: mean and deviation by hand."""
    return alone(train), (test - train.mean(0)) / train.std(0)


def by_test(train, test):
    scaler = StandardScaler().fit(test)
    return scaler.transform(train), scaler.transform(test)


def by_both(train, test):
    scaler = StandardScaler().fit(np.concatenate([train, test]))
    return scaler.transform(train), scaler.transform(test)


def by_images(train, test):
    return tuple((x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True) for x in (train, test))


def one_probe(train_tokens, train_y, test_tokens):
    """The probe of the class token is asked for both."""
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(train_tokens[:, 0], train_y)
    views = {"CLS": test_tokens[:, 0], "mean": test_tokens[:, 1:].mean(1)}
    return {name: probe.predict_proba(view) for name, view in views.items()}


def one_regression(train_tokens, train_y, test_tokens):
    """The regression of the class token is asked for both, with a scaler of each."""
    probe, found = None, {}
    for name, view in (("CLS", lambda t: t[:, 0]), ("mean", lambda t: t[:, 1:].mean(1))):
        train, test = scaled_first(view(train_tokens), view(test_tokens))
        probe = probe or LogisticRegression(max_iter=2000).fit(train, train_y)
        found[name] = probe.predict_proba(test)
    return found


def all_tokens_scaled(train_tokens, train_y, test_tokens):
    scaler = StandardScaler().fit(train_tokens.reshape(-1, train_tokens.shape[2]))
    train, test = (scaler.transform(t.reshape(-1, t.shape[2])).reshape(t.shape) for t in (train_tokens, test_tokens))
    return probed(scale=lambda a, b: (a, b))(train, train_y, test)


def scaled_in_place(train_tokens, train_y, test_tokens):
    train_tokens -= train_tokens.mean((0, 1))
    return SOLUTIONS["two_probes"](train_tokens, train_y, test_tokens)


def probes_themselves(train_tokens, train_y, test_tokens):
    return {name: LogisticRegression(max_iter=2000).fit(train_tokens[:, 0], train_y) for name in ("CLS", "mean")}


def by_float32(train_tokens, train_y, test_tokens):
    """Right: features in float32, as a net gives them, and the mean by torch."""
    train, test = (torch.from_numpy(t).float() for t in (train_tokens, test_tokens))
    views = {"mean": lambda t: t[:, 1:].mean(dim=1).numpy(), "CLS": lambda t: t[:, 0].numpy()}
    return probed(views=views)(train, train_y, test)


# mcnemar


def mid(a, b):
    k = min(a, b)
    return float(2 * binom.cdf(k - 1, a + b, 0.5) + binom.pmf(k, a + b, 0.5))


def counted(count=lambda x, y: (int((x & ~y).sum()), int((~x & y).sum())), p=lambda a, b, x, y: mid(a, b),
            result=lambda a, b, p: (a, b, p)):  # fmt: skip
    """A `mcnemar` by rules: what is counted, and which p belongs to it."""

    def f(first, second):
        a, b = count(first, second)
        return result(a, b, p(a, b, first, second))

    return f


def with_p(p):
    """Another p of k = min and m."""
    return counted(p=lambda a, b, x, y: p(min(a, b), a + b))


def chi_square(correction):
    return counted(p=lambda a, b, x, y: float(stats.chi2.sf((abs(a - b) - correction) ** 2 / max(a + b, 1), 1)))


def unpaired(a, b, x, y):
    n, pooled = len(x), (x.mean() + y.mean()) / 2
    return float(2 * stats.norm.sf(abs(x.mean() - y.mean()) / math.sqrt(2 * pooled * (1 - pooled) / n)))


def by_binomtest(first, second):
    """Right: the exact p of scipy, of which half of what is at k counts."""
    a, b = int(np.sum(first & ~second)), int(np.sum(second & ~first))
    if a == b:
        return a, b, 1.0
    return a, b, stats.binomtest(a, a + b).pvalue - binom.pmf(a, a + b, 0.5)


def by_comb(first, second):
    """Right: whole numbers, question by question."""
    a = sum(1 for x, y in zip(first, second, strict=True) if x and not y)
    b = sum(1 for x, y in zip(first, second, strict=True) if y and not x)
    m, k = a + b, min(a, b)
    return a, b, (2 * sum(math.comb(m, i) for i in range(k)) + math.comb(m, k)) / 2**m


def by_torch(first, second):
    """Right: tensors, and numbers of NumPy."""
    x, y = torch.from_numpy(first), torch.from_numpy(second)
    a, b = torch.logical_and(x, ~y).sum(), torch.logical_and(~x, y).sum()
    k, m = min(int(a), int(b)), int(a + b)
    return a, b, np.float64(binom.cdf(k, m, 0.5) + (binom.cdf(k - 1, m, 0.5)))


def and_not(first, second):
    return SOLUTIONS["mcnemar"](first and not second, second and not first)


def minus(first, second):
    return SOLUTIONS["mcnemar"](first - second > 0, second - first > 0)


def share_of_none(first, second):
    a, b, p = SOLUTIONS["mcnemar"](first, second)
    return a, b, p * (a + b) / (a + b)


def numpy_share_of_none(first, second):
    a, b, p = SOLUTIONS["mcnemar"](first, second)
    return a, b, p * np.float64(a + b) / (a + b)


def flipped_in_place(first, second):
    out = SOLUTIONS["mcnemar"](first, second)
    first &= ~second
    return out


MISTAKES = [
    ("top_k", then("top_k", lambda pair: (pair[0].roll(1, 0), pair[1].roll(1, 0))), "classes of another image"),
    ("top_k", then("top_k", lambda pair: (pair[0].roll(-1, 0), pair[1].roll(-1, 0))), "of another image"),
    ("top_k", then("top_k", lambda pair: (pair[0].roll(1, 0), pair[1])), "image i alone; the prob"),
    ("top_k", then("top_k", lambda pair: (pair[0].flip(0), pair[1].flip(0))), "images are in reverse"),
    ("top_k", then("top_k", lambda pair: (pair[0][:1].expand_as(pair[0]), pair[1][:1].expand_as(pair[1]))),
     "given the first one's classes: "),
    ("top_k", chosen(order=lambda p, k: p.topk(k, dim=1).indices[:1].expand(len(p), -1)), "with their own probabilities"),
    ("top_k", chosen(lambda z: z.softmax(0)), "softmax over the images, dimension 0: it is"),
    ("top_k", chosen(order=lambda p, k: p.topk(k).indices, values=lambda z, p: z.softmax(0)), "dimension 0"),
    ("top_k", chosen(lambda z: z.flatten().softmax(0).view_as(z), lambda p, k: p.topk(k).indices), "over the whole table"),
    ("top_k", over_images, "ran over the images"),
    ("top_k", over_images_turned, "topk ran over the images"),
    ("top_k", over_images, "topk looks for k images, not k classes"),
    ("top_k", chosen(order=lambda p, k: p.topk(k, dim=1, largest=False).indices), "the least probable come first"),
    ("top_k", chosen(order=lambda p, k: p.argsort(dim=1)[:, :k]), "the least probable come first"),
    ("top_k", chosen(order=ascending), "from the least of them"),
    ("top_k", chosen(order=lambda p, k: p.topk(k, dim=1).indices.sort(1).values), "in the order of their numbers"),
    ("top_k", chosen(lambda z: z), "these are logits"),
    ("top_k", chosen(torch.exp), "this is exp of the logits"),
    ("top_k", chosen(lambda z: z.log_softmax(1)), "these are logarithms"),
    ("top_k", rescaled, "the k were scaled to add up to 1"),
    ("top_k", then("top_k", lambda pair: (pair[0], pair[1] / pair[1].sum(1, keepdim=True))), "the k were scaled"),
    ("top_k", chosen(torch.sigmoid), "this is sigmoid"),
    ("top_k", then("top_k", lambda pair: (pair[0], 100 * pair[1])), "these are per cent"),
    ("top_k", then("top_k", lambda pair: pair[::-1]), "the pair is swapped"),
    ("top_k", lambda logits, k: logits.softmax(1).topk(k), "the pair is swapped, as topk gives it"),
    ("top_k", lambda logits, k: SOLUTIONS["top_k"](logits, 1), "the most probable class alone"),
    ("top_k", then("top_k", lambda pair: (pair[0][:, 0], pair[1][:, 0])), "the most probable class alone"),
    ("top_k", lambda logits, k: SOLUTIONS["top_k"](logits, 6), "these are all classes"),
    ("top_k", then("top_k", lambda pair: (pair[0].T, pair[1].T)), "images are the columns"),
    ("top_k", then("top_k", lambda pair: (pair[0].squeeze(), pair[1].squeeze())), "without squeeze()"),
    ("top_k", then("top_k", lambda pair: (pair[0].double(), pair[1])), "of dtype int64"),
    ("top_k", then("top_k", lambda pair: (pair[0].int(), pair[1])), "of dtype int64"),
    ("top_k", then("top_k", lambda pair: pair[0]), "return both"),
    ("top_k", then("top_k", lambda pair: None), "no return statement"),
    ("top_k", exponentials_in_place, "logits unchanged"),
    ("top_k", touched("top_k", gradients_off), "that nobody takes back"),
    ("attention_map", mapped(lambda a: a.amax(1)[:, 0, 1:]), "the largest head at each place"),
    ("attention_map", mapped(lambda a: a.amin(1)[:, 0, 1:]), "the smallest head at each place"),
    ("attention_map", mapped(lambda a: a[:, 0, 0, 1:]), "the first head alone"),
    ("attention_map", mapped(lambda a: a[:, -1, 0, 1:]), "the last head alone"),
    ("attention_map", each_head_scaled, "each head was divided by its own mean"),
    ("attention_map", mapped(lambda a: a.mean(1)[:, 1:, 0]), "this is the column of the class token"),
    ("attention_map", mapped(lambda a: a.mean(1)[:, 0, :-1]), "was kept as the first place"),
    ("attention_map", mapped(lambda a: a.mean(1)[:, 0]), "the class token is none of them"),
    ("attention_map", mapped(lambda a: a.mean(1)[:, -1, 1:]), "what the last patch reads"),
    ("attention_map", mapped(lambda a: a.mean(1)[:, 1, 1:]), "what the first patch reads"),
    ("attention_map", mapped(lambda a: a.mean((1, 2))[:, 1:]), "what all tokens read"),
    ("attention_map", mapped(lambda a: a.mean(1)[:, 1:, 1:].mean(1)), "what all patches read"),
    ("attention_map", mapped(scale=stretched), "stretched to 0..1"),
    ("attention_map", mapped(after=lambda m: stretched(m.flatten(1)).view_as(m)), "stretched to 0..1 after enlarging"),
    ("attention_map", mapped(scale=lambda r: r / r.amax(1, keepdim=True)), "divided by its largest value: "),
    ("attention_map", mapped(after=lambda m: m / m.amax((1, 2), keepdim=True)), "its largest value after enlarging"),
    ("attention_map", mapped(scale=lambda r: r / r.sum(1, keepdim=True)), "the sum over patches was made 1"),
    ("attention_map", mapped(scale=lambda r: r), "not divided by its mean"),
    ("attention_map", mapped(lambda a: a.sum(1)[:, 0, 1:], lambda r: r), "and heads were added up"),
    ("attention_map", with_own_weight, "divided by the mean over all tokens"),
    ("attention_map", mapped(scale=lambda r: r * r.shape[1]), "multiplied by P"),
    ("attention_map", mapped(scale=lambda r: r - r.mean(1, keepdim=True)), "the mean was subtracted"),
    ("attention_map", mapped(lambda a: a.mean(1)[:, 0, 1:].softmax(1)), "softmax once more"),
    ("attention_map", mapped(scale=lambda r: r.softmax(1)), "softmax once more, and not divided"),
    ("attention_map", mapped(scale=lambda r: r / r.mean()), "over the whole batch"),
    ("attention_map", mapped(scale=lambda r: r, after=lambda m: m / m.mean((1, 2), keepdim=True)), "mean of the enlarged map"),
    ("attention_map", mapped(big=lambda g, size: enlarge(g.transpose(1, 2), size)), "the grid is transposed"),
    ("attention_map", mapped(side=lambda r: 14), "differs from net to net"),
    ("attention_map", other_mode(mode="nearest"), "with mode nearest"),
    ("attention_map", other_mode(mode="bilinear", align_corners=True), "align_corners=True: False"),
    ("attention_map", mapped(big=lambda g, size: g), "as small as the grid"),
    ("attention_map", mapped(big=lambda g, size: F.interpolate(g, size=(size, size), mode="bilinear")), "(B, channels, H, W)"),
    ("attention_map", then("attention_map", lambda m: m[:, None]), "the channel of F.interpolate is still there"),
    ("attention_map", then("attention_map", lambda m: m.squeeze()), "without squeeze()"),
    ("attention_map", then("attention_map", lambda m: m[0]), "the first image alone"),
    ("attention_map", then("attention_map", lambda m: m[:1].expand_as(m)), "given the map of the first"),
    ("attention_map", then("attention_map", lambda m: m.mean(0)), "the maps of all images were averaged"),
    ("attention_map", then("attention_map", lambda m: None), "no return statement"),
    ("attention_map", divided_in_place, "attention unchanged"),
    ("attention_map", touched("attention_map", gradients_off), "that nobody takes back"),
    ("rollout", rolled(join=lambda m: functools.reduce(torch.matmul, m)), "in the wrong order"),
    ("rollout", rolled(which=lambda layers: list(layers)[::-1]), "in the wrong order"),
    ("rollout", rolled(residual=lambda m: m), "the residual connection is missing"),
    ("rollout", rolled(residual=lambda m: m, join=lambda m: functools.reduce(torch.matmul, m)), "and the order is wrong: half"),
    ("rollout", rolled(residual=lambda m: 2 * halved(m)), "this is A + I"),
    ("rollout", rolled(residual=lambda m: 2 * halved(m), join=lambda m: functools.reduce(torch.matmul, m)),
     "this is A + I, so that rows add up to 2 in each layer, and"),
    ("rollout", rolled(residual=lambda m: 2 * halved(m) - m / 2), "this is 0.5 A + I"),
    ("rollout", rolled(residual=lambda m: halved(m) + m / 2), "this is A + 0.5 I"),
    ("rollout", rolled(residual=lambda m: m / 2), "without 0.5 I"),
    ("rollout", rolled(lambda a: a.amax(1)), "the largest head at each place: take"),
    ("rollout", rolled(lambda a: a.amax(1), lambda m: halved(m) / halved(m).sum(2, keepdim=True)), "scaled to rows of 1"),
    ("rollout", rolled(lambda a: a.amax(1) / a.amax(1).sum(2, keepdim=True)), "its rows scaled to 1"),
    ("rollout", rolled(lambda a: a.amin(1)), "the smallest head"),
    ("rollout", rolled(lambda a: a.sum(1)), "heads were added up"),
    ("rollout", rolled(lambda a: a[:, 0]), "the first head alone"),
    ("rollout", rolled(lambda a: a[:, -1]), "the last head alone"),
    ("rollout", head_by_head, "each head was rolled out on its own"),
    ("rollout", rolled(lambda a: a), "the mean over heads comes first"),
    ("rollout", rolled(join=sum), "the layers were added up"),
    ("rollout", rolled(join=lambda m: sum(m) / len(m)), "this is the mean over layers"),
    ("rollout", rolled(residual=lambda m: m, join=lambda m: sum(m) / len(m)), "the attention of the layers was averaged"),
    ("rollout", rolled(join=lambda m: torch.linalg.matrix_power(sum(m) / len(m), len(m))), "the average layer was taken"),
    ("rollout", rolled(join=lambda m: functools.reduce(torch.mul, m)), "multiplied entry by entry (*)"),
    ("rollout", rolled(residual=lambda m: m, join=lambda m: functools.reduce(torch.mul, m)), "attention is multiplied ent"),
    ("rollout", rolled(join=lambda m: m[-1]), "this is the last layer alone"),
    ("rollout", rolled(join=lambda m: m[0]), "this is the first layer alone"),
    ("rollout", rolled(join=lambda m: functools.reduce(lambda t, one: one @ t, m[1:], torch.eye(len(m[0][0])).to(m[0]))),
     "the first layer is missing"),
    ("rollout", rolled(join=lambda m: functools.reduce(lambda total, one: one @ total, [m[0], *m])), "first layer is there"),
    ("rollout", then("rollout", lambda r: r.transpose(1, 2)), "transposed: row i says"),
    ("rollout", rolled(lambda a: a.mean(1).transpose(1, 2)), "each layer was transposed"),
    ("rollout", last_without, "the last layer has no residual connection"),
    ("rollout", residual_at_the_end, "came in once, at the end"),
    ("rollout", then("rollout", lambda r: r[:, 0]), "the row of the class token alone"),
    ("rollout", then("rollout", lambda r: r[:, 0, 1:]), "holds of the patches"),
    ("rollout", then("rollout", lambda r: r[:, 1:, 1:]), "the class token was left out"),
    ("rollout", then("rollout", lambda r: r / r.sum(1, keepdim=True)), "columns were scaled to 1"),
    ("rollout", then("rollout", lambda r: r - torch.eye(r.shape[1])), "the identity was subtracted"),
    ("rollout", then("rollout", lambda r: r[0]), "of the first image alone"),
    ("rollout", then("rollout", lambda r: r.mean(0)), "the images were averaged"),
    ("rollout", then("rollout", lambda r: None), "no return statement"),
    ("rollout", rolled(residual=lambda m: 0.5 * m @ torch.eye(m.shape[-1])), "torch.eye takes a dtype"),
    ("rollout", reversed_in_place, "the list of layers unchanged"),
    ("rollout", only_lists, "come as a tuple"),
    ("rollout", tensors_in_place, "the attention of each layer unchanged"),
    ("rollout", touched("rollout", gradients_off), "that nobody takes back"),
    ("keep_tokens", kept(lambda m: ~m), "what is True in keep_mask was hidden"),
    ("keep_tokens", given("keep_tokens", lambda net, x, m: (net, x, ~m)), "True *keeps* a patch"),
    ("keep_tokens", kept(pick=lambda t, m: selected(t, m)[:, 1:]), "the class token is lost"),
    ("keep_tokens", positioned(lambda places, tokens, m: places[:, : tokens.shape[1]]), "the kept patches got the first posit"),
    ("keep_tokens", positioned(lambda places, tokens, m: 0), "there are no positions"),
    ("keep_tokens", positioned(lambda places, tokens, m: selected(places, m) * (torch.arange(tokens.shape[1]) > 0)[:, None]),
     "the class token has lost its position"),
    ("keep_tokens", positioned(lambda places, tokens, m: 2 * selected(places, m)), "positions were added twice"),
    ("keep_tokens", filled(lambda t, m: torch.zeros_like(t)), "hidden tokens were set to 0: "),
    ("keep_tokens", kept(pick=lambda t, m: t * with_class(m)[..., None].to(t.dtype)), "hidden tokens were set to 0: "),
    ("keep_tokens", pixels_before, "before positions were added"),
    ("keep_tokens", blackened, "hidden pixels were set to 0"),
    ("keep_tokens", filled(lambda t, m: t.mean(1, keepdim=True)), "the mean of the image's tokens"),
    ("keep_tokens", filled(lambda t, m: t.mean(1, keepdim=True)), "something has read them, or their mean"),
    ("keep_tokens", filled(mean_of_kept), "the mean of the kept ones"),
    ("keep_tokens", filled(lambda t, m: t.mean((0, 1))), "the mean token of the batch"),
    ("keep_tokens", kept(lambda m: m[:1].expand_as(m)), "the first image's mask was used for all"),
    ("keep_tokens", kept(pick=lambda t, m: t[:, with_class(m)[0]]), "the first image's mask was used for all"),
    ("keep_tokens", lambda net, x, keep_mask: net(x).logits, "nothing was hidden"),
    ("keep_tokens", lambda net, x, keep_mask: net(x).logits, "something has read them"),
    ("keep_tokens", kept(norm=False), "net.vit.layernorm, is missing"),
    ("keep_tokens", kept(read=lambda t: t[:, 1:].mean(1)), "this is read from the mean of the patches"),
    ("keep_tokens", kept(read=lambda t: t.mean(1)), "this is read from the mean of all tokens"),
    ("keep_tokens", kept(read=lambda t: t[:, -1]), "this is read from the last token"),
    ("keep_tokens", kept(read=lambda t: t[:, 1]), "this is read from the first of the kept patches"),
    ("keep_tokens", kept(pick=lambda t, m: torch.cat([selected(t, m)[:, 1:], t[:, :1]], 1)), "the first of the kept patches"),
    ("keep_tokens", kept(read=lambda t: t), "each token got logits"),
    ("keep_tokens", kept(layers=lambda layers: layers[:-1]), "the last layer is missing"),
    ("keep_tokens", kept(layers=lambda layers: layers[1:]), "the first layer is missing"),
    ("keep_tokens", kept(layers=lambda layers: []), "there are no layers"),
    ("keep_tokens", in_layers(lambda i: i == 0), "hidden in the first layer alone"),
    ("keep_tokens", in_layers(lambda i: i > 0), "taken out after the first layer"),
    ("keep_tokens", after_the_first_layer, "taken out after the first layer"),
    ("keep_tokens", lambda net, x, keep_mask: net(x, attention_mask=with_class(keep_mask, False)).logits,
     "could not read the class token"),
    ("keep_tokens", lambda net, x, keep_mask: net(x, attention_mask=keep_mask).logits, "a place for each"),
    ("keep_tokens", lambda net, x, keep_mask: net.vit(x, bool_masked_pos=~keep_mask), "puts a mask token in the place"),
    ("keep_tokens", lambda net, x, keep_mask: net(x, attention_mask=with_class(keep_mask)), "return its .logits"),
    ("keep_tokens", lambda net, x, keep_mask: net.vit(x, attention_mask=with_class(keep_mask)), "these are the tokens after"),
    ("keep_tokens", lambda net, x, keep_mask: net.vit(x, attention_mask=with_class(keep_mask)).last_hidden_state[:, 0],
     "net.classifier makes logits of it"),
    ("keep_tokens", lambda net, x, keep_mask: net.vit.layernorm(functools.reduce(
        lambda t, layer: layer(t), net.vit.layers, selected(net.vit.embeddings(x), keep_mask))), "tokens (B, 1 + K, D), not"),
    ("keep_tokens", lambda net, x, keep_mask: functools.reduce(
        lambda t, layer: layer(t), net.vit.layers, selected(net.vit.embeddings(x), keep_mask)), "before the final layer norm"),
    ("keep_tokens", then("keep_tokens", lambda z: z.softmax(1)), "these are probabilities"),
    ("keep_tokens", then("keep_tokens", lambda z: z.log_softmax(1)), "these are logarithms"),
    ("keep_tokens", then("keep_tokens", lambda z: z.argmax(1)), "this is the most probable class"),
    ("keep_tokens", then("keep_tokens", lambda z: z.squeeze(0)), "the batch dimension is lost"),
    ("keep_tokens", then("keep_tokens", lambda z: None), "no return statement"),
    ("keep_tokens", kept(pick=one_long_list), "reshape it to (B, K, D)"),
    ("keep_tokens", kept(pick=in_one_image), "reshape it to (B, K, D)"),
    ("keep_tokens", kept(pick=lambda t, m: t[m].reshape(len(t), -1, t.shape[-1])), "says nothing of the class token"),
    ("keep_tokens", leaves_hook, "no hook left on the net"),
    ("keep_tokens", own_positions, "there are no positions"),
    ("keep_tokens", own_positions, "'vit.embeddings.position_embeddings' changed"),
    ("keep_tokens", zeroed_pixels_in_place, "x unchanged"),
    ("keep_tokens", touched("keep_tokens", lambda net, x, keep_mask: keep_mask.logical_not_()), "keep_mask unchanged"),
    ("keep_tokens", touched("keep_tokens", lambda net, x, keep_mask: x.requires_grad_()), "no gradients on the net or x"),
    ("keep_tokens", touched("keep_tokens", lambda net, x, keep_mask: net.train()), "in evaluation mode, as it was"),
    ("keep_tokens", touched("keep_tokens", lambda net, x, keep_mask: net.requires_grad_(False)), "parameters that are frozen"),
    ("keep_tokens", touched("keep_tokens", lambda net, *rest: setattr(net.config, "output_attentions", True)), "its config"),
    ("keep_tokens", touched("keep_tokens", gradients_off), "that nobody takes back"),
    ("two_probes", then("two_probes", lambda d: {"CLS": d["mean"], "mean": d["CLS"]}), "the two are swapped"),
    ("two_probes", probed(mean=lambda t: t.mean(1)), "the mean includes the class token"),
    ("two_probes", probed(mean=lambda t: t[:, 2:].mean(1)), "leaves out the first patch"),
    ("two_probes", probed(mean=lambda t: t[:, 1:].mean(2)), "this is the mean over the features: "),
    ("two_probes", probed(mean=lambda t: t.mean(2)), "this is the mean over the features of all tokens"),
    ("two_probes", probed(mean=lambda t: t[:, 1:].max(1)), "the largest of the patches"),
    ("two_probes", probed(mean=lambda t: t.max(1)), "the largest of all tokens"),
    ("two_probes", probed(mean=lambda t: np.median(t[:, 1:], 1)), "the median of the patches"),
    ("two_probes", probed(cls=lambda t: t[:, -1]), "the last token was read as the class token"),
    ("two_probes", probed(cls=lambda t: t[:, 1]), "the first patch was read as the class token"),
    ("two_probes", probed(*[lambda t: t.reshape(len(t), -1)] * 2), "the tokens were flattened"),
    ("two_probes", probed(mean=lambda t: t[:, 1:].reshape(len(t), -1)), "the patches were flattened"),
    ("two_probes", probed(mean=lambda t: t[:, 0]), "both are of the class token"),
    ("two_probes", probed(cls=lambda t: t[:, 1:].mean(1)), "both are of the mean"),
    ("two_probes", probed(cls=lambda t: t), "takes one row of numbers an image"),
    ("two_probes", probed(mean=lambda t: t[:, 1:].mean(0)), "means are over dimension 1"),
    ("two_probes", one_probe, "and its scaler, were asked for both"),
    ("two_probes", one_regression, "the probe of the class token was asked for both"),
    ("two_probes", probed(scale=lambda a, b: (alone(a), alone(b))), "fitted again on the test images"),
    ("two_probes", probed(scale=lambda a, b: (alone(a), alone(b))), "depends on which other test images"),
    ("two_probes", probed(scale=by_test), "with the test images' mean and deviation"),
    ("two_probes", probed(scale=by_both), "fitted on training and test images together"),
    ("two_probes", probed(scale=by_both), "depends on which other test images"),
    ("two_probes", probed(scale=lambda a, b: (alone(a), b)), "and the test images were not"),
    ("two_probes", probed(scale=lambda a, b: (a, b)), "the features were not standardised"),
    ("two_probes", probed(scale=by_images), "each image was standardised on its own"),
    ("two_probes", probed(scale=lambda a, b: (a - a.mean(0), b - a.mean(0))), "nothing but their mean was subtracted"),
    ("two_probes", all_tokens_scaled, "mean and deviation are of all tokens"),
    ("two_probes", probed(read=lambda p, z: p.predict(z)), "these are predictions: "),
    ("two_probes", probed(read=lambda p, z: np.eye(len(p.classes_))[p.predict(z)]), "predictions as rows of 0 and 1"),
    ("two_probes", probed(read=lambda p, z: p.decision_function(z)), "these are decision values"),
    ("two_probes", probed(read=lambda p, z: p.predict_log_proba(z)), "these are logarithms"),
    ("two_probes", probed(read=lambda p, z: p.predict_proba(z).max(1)), "this is the highest probability"),
    ("two_probes", given("two_probes", lambda a, y, b: (a, y, a)), "of the training images"),
    ("two_probes", probed(class_weight="balanced"), "class_weight='balanced'"),
    *[("two_probes", probed(C=c), f"C = {c:g}: keep the default") for c in (0.01, 0.1, 10.0, 100.0)],
    ("two_probes", then("two_probes", lambda d: tuple(d.values())), "got tuple"),
    ("two_probes", then("two_probes", lambda d: {"cls": d["CLS"], "mean": d["mean"]}), "keys 'cls', 'mean'"),
    ("two_probes", then("two_probes", lambda d: {name: part.tolist() for name, part in d.items()}), "a NumPy array for 'CLS'"),
    ("two_probes", probes_themselves, "this is the probe"),
    ("two_probes", then("two_probes", lambda d: None), "no return statement"),
    ("two_probes", scaled_in_place, "train_tokens unchanged"),
    ("two_probes", touched("two_probes", lambda a, y, b: np.multiply(b, 2, out=b)), "test_tokens unchanged"),
    ("two_probes", touched("two_probes", lambda a, y, b: y.sort()), "train_y unchanged"),
    ("mcnemar", counted(result=lambda a, b, p: (b, a, p)), "the counts are swapped"),
    ("mcnemar", counted(lambda x, y: (int(x.sum()), int(y.sum()))), "these are all right answers of each"),
    ("mcnemar", counted(lambda x, y: (int((~x).sum()), int((~y).sum()))), "these are all wrong answers of each"),
    ("mcnemar", counted(lambda x, y: (int((x & y).sum()), int((~x & ~y).sum()))), "that both got right, and those"),
    ("mcnemar", counted(lambda x, y: (int((~x & ~y).sum()), int((x & y).sum()))), "that both got wrong, and those"),
    ("mcnemar", counted(lambda x, y: (int((x == y).sum()),) * 2), "questions on which they agree"),
    ("mcnemar", counted(lambda x, y: (int((x != y).sum()),) * 2), "the number of questions on which they differ"),
    ("mcnemar", counted(p=lambda a, b, x, y: mid(x.sum(), y.sum())), "p was worked out from all right answers"),
    ("mcnemar", counted(result=lambda a, b, p: (p, a, b)), "p comes last"),
    ("mcnemar", with_p(lambda k, m: stats.binomtest(k, m).pvalue if m else 1.0), "this is the exact p"),
    ("mcnemar", with_p(lambda k, m: min(1.0, 2 * binom.cdf(k, m, 0.5))), "it is more conservative than mid-p"),
    ("mcnemar", with_p(lambda k, m: 2 * binom.cdf(k, m, 0.5)), "which may be above 1"),
    ("mcnemar", with_p(lambda k, m: binom.cdf(k, m, 0.5)), "this is one-sided, P(K <= k)"),
    ("mcnemar", with_p(lambda k, m: binom.cdf(k - 1, m, 0.5) + binom.pmf(k, m, 0.5) / 2), "the one-sided mid-p"),
    ("mcnemar", with_p(lambda k, m: binom.cdf(k - 1, m, 0.5)), "this is P(K < k), one-sided"),
    ("mcnemar", with_p(lambda k, m: 2 * binom.cdf(k - 1, m, 0.5)), "P(K = k) is missing"),
    ("mcnemar", with_p(lambda k, m: 2 * binom.cdf(k, m, 0.5) + binom.pmf(k, m, 0.5)), "cdf(k) has P(K = k) in it"),
    ("mcnemar", with_p(lambda k, m: binom.pmf(k, m, 0.5)), "this is P(K = k) alone"),
    ("mcnemar", with_p(lambda k, m: 2 * binom.cdf(m - k - 1, m, 0.5) + binom.pmf(k, m, 0.5)), "k is the larger of the two"),
    ("mcnemar", with_p(lambda k, m: min(1, 2 * binom.cdf(m - k - 1, m, 0.5) + binom.pmf(k, m, 0.5))), "p was cut off at 1"),
    ("mcnemar", chi_square(0), "the chi-square test, without a correction"),
    ("mcnemar", chi_square(1), "the chi-square test, with the continuity correction"),
    ("mcnemar", counted(p=unpaired), "the test of two proportions"),
    ("mcnemar", counted(p=lambda a, b, x, y: 2 * binom.cdf(min(a, b) - 1, len(x), 0.5) + binom.pmf(min(a, b), len(x), 0.5)),
     "the binomial is over all n questions"),
    ("mcnemar", with_p(lambda k, m: 1 - mid(k, m - k)), "this is 1 - p"),
    ("mcnemar", share_of_none, "m = 0: the two never differ"),
    ("mcnemar", numpy_share_of_none, "0 / 0: where m = 0"),
    ("mcnemar", with_p(lambda k, m: mid(k, m - k) if m else 0.0), "m = 0: the two never differ"),
    ("mcnemar", and_not, "`and`, `or` and `not` take one truth value"),
    ("mcnemar", minus, "bool arrays have no minus"),
    ("mcnemar", counted(result=lambda a, b, p: (a, b, np.array([p]))), "makes one of an array of one number"),
    ("mcnemar", counted(result=lambda a, b, p: (np.array([a]), b, p)), "a number for only_first"),
    ("mcnemar", lambda first, second: (first & ~second, ~first & second, 1.0), "sum() counts"),
    ("mcnemar", then("mcnemar", lambda out: out[2]), "return all three"),
    ("mcnemar", then("mcnemar", lambda out: None), "no return statement"),
    ("mcnemar", counted(result=lambda a, b, p: (a, b, None)), "got p: None"),
    ("mcnemar", then("mcnemar", lambda out: (out[0] / 35, out[1] / 35, out[2])), "these are shares of the questions"),
    ("mcnemar", flipped_in_place, "first and second unchanged"),
]  # fmt: skip


ALSO_RIGHT = [
    ("top_k", chosen()),
    ("top_k", by_loop),
    ("top_k", by_numpy),
    ("top_k", chosen(order=lambda p, k: p.argsort(dim=-1, descending=True)[:, :k])),
    ("top_k", chosen(lambda z: z.exp() / z.exp().sum(1, keepdim=True), lambda p, k: p.sort(dim=1).indices[:, -k:].flip(1))),
    ("top_k", chosen(lambda z: z, values=lambda z, p: torch.exp(z.log_softmax(1)))),
    ("top_k", lambda logits, k: F.softmax(logits, dim=-1).topk(k)[::-1]),
    ("attention_map", mapped()),
    ("attention_map", mapped(lambda a: a.sum(1)[:, 0, 1:])),
    ("attention_map", mapped(scale=lambda r: r * r.shape[1] / r.sum(1, keepdim=True))),
    ("attention_map", mapped(scale=lambda r: r, big=lambda g, size: enlarge(g, size) / g.mean((1, 2), keepdim=True))),
    ("attention_map", map_by_loop),
    ("attention_map", map_by_einsum),
    ("attention_map", then("attention_map", lambda m: m.numpy())),
    ("rollout", rolled()),
    ("rollout", backwards),
    ("rollout", rolled(residual=normalised_rows)),
    ("rollout", rolled(join=lambda m: functools.reduce(torch.matmul, m[::-1]))),
    ("rollout", rolled(join=lambda m: torch.linalg.multi_dot(m[::-1]) if m[0].ndim == 2 and len(m) > 1 else
                       functools.reduce(lambda total, one: torch.bmm(one, total), m))),
    ("rollout", rolled_by_einsum),
    ("rollout", rolled_by_numpy),
    ("keep_tokens", kept()),
    ("keep_tokens", by_attention_mask),
    ("keep_tokens", by_additive_mask),
    ("keep_tokens", image_by_image),
    ("keep_tokens", gathered),
    ("keep_tokens", kept(pick=descending)),
    ("keep_tokens", kept(pick=lambda t, m: t[with_class(m)].view(t.shape[0], -1, t.shape[2]))),
    ("keep_tokens", by_hook),
    ("keep_tokens", positioned(lambda places, tokens, m: selected(places, m))),
    ("two_probes", probed()),
    ("two_probes", probed(scale=by_hand)),
    ("two_probes", probed(mean=lambda t: t[:, 1:].sum(1))),
    ("two_probes", probed(tol=1e-8, max_iter=10_000)),
    ("two_probes", probed(solver="newton-cg", tol=1e-6)),
    ("two_probes", by_float32),
    ("mcnemar", counted()),
    ("mcnemar", by_binomtest),
    ("mcnemar", by_comb),
    ("mcnemar", by_torch),
    ("mcnemar", with_p(lambda k, m: 2 * binom.cdf(k, m, 0.5) - binom.pmf(k, m, 0.5))),
    ("mcnemar", with_p(lambda k, m: min(1.0, 2 * binom.cdf(k, m, 0.5)) - binom.pmf(k, m, 0.5) * (2 * k < m))),
]  # fmt: skip
