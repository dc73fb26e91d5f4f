"""Lab 05: solutions, right variants, and known mistakes with the words that each must be told (see test_checks.py)."""

import inspect

import numpy as np
import scipy.linalg
import torch
import torch.nn.functional as F
from notebook_source import altering, gradients_off, namespace, touching

from labkit.check import clip as check  # noqa: F401 - read by test_checks.py

LAB = "05_clip_modality_gap"
CHECKS = ["zero_shot_classifier", "gap_metrics", "clip_loss", "shifted", "procrustes", "repaired", "recall_by_name"]
SOLUTIONS = namespace(LAB, *(name.replace("_", "-") for name in CHECKS))
SIGNATURES = {name: inspect.signature(SOLUTIONS[name]) for name in CHECKS}


then, given = altering(SOLUTIONS, SIGNATURES)
touched = touching(SOLUTIONS, SIGNATURES)


def unit(x, dim=-1):
    return F.normalize(x, dim=dim)


def same(x):
    return x


# zero_shot_classifier


def classified(prompts=lambda names, templates: [[t.format(name) for t in templates] for name in names], before=unit,
               join=lambda x: x.mean(0), after=unit, stack=torch.stack):  # fmt: skip
    """A `zero_shot_classifier` by rules: which prompts, what is done to their features, how they are joined, and the end."""

    def f(encode, class_names, templates):
        return after(stack([join(before(encode(texts))) for texts in prompts(class_names, templates)]))

    return f


def at_once(encode, class_names, templates):
    """Right: all prompts in one call, reshaped."""
    flat = encode([t.format(name) for name in class_names for t in templates])
    x = flat / flat.norm(dim=1, keepdim=True)
    return unit(x.view(len(class_names), len(templates), -1).mean(1))


def one_by_one(encode, class_names, templates):
    """Right: one prompt at a time, added up in place."""
    rows = []
    for name in class_names:
        total = torch.zeros_like(encode([templates[0].format(name)])[0])
        for template in templates:
            x = encode([template.replace("{}", name)]).squeeze(0)
            total += x / x.norm()
        rows.append(total / total.norm())
    return torch.stack(rows)


def by_einsum(encode, class_names, templates):
    """Right: templates are the outer loop, and einsum adds over them."""
    x = torch.stack([encode([template.format(name) for name in class_names]) for template in templates])
    with torch.no_grad():
        total = torch.einsum("tkd,tk->kd", x, 1 / x.norm(dim=-1))
    return total.div(total.norm(dim=-1, keepdim=True))


def reshaped(outer, view, dim):
    """All prompts in one call, with one loop outside, and a reshape."""

    def f(encode, class_names, templates):
        k, t = len(class_names), len(templates)
        pairs = [(n, p) for n in class_names for p in templates] if outer == "names" else [
            (n, p) for p in templates for n in class_names]  # fmt: skip
        x = unit(encode([p.format(n) for n, p in pairs]))
        return unit(x.view(*((k, t) if view == "kt" else (t, k)), -1).mean(dim))

    return f


def by_table(change):
    """What is done to all unit features (K, T, D)."""

    def f(encode, class_names, templates):
        return change(torch.stack([unit(encode([t.format(name) for t in templates])) for name in class_names]))

    return f


def not_one_by_one(encode, class_names, templates):
    """All classes as one list of lists."""
    return unit(encode([[t.format(name) for t in templates] for name in class_names]).mean(1))


def a_str(encode, class_names, templates):
    return unit(torch.stack([unit(torch.stack([encode(t.format(n)) for t in templates])).mean(0) for n in class_names]))


def sorted_in_place(encode, class_names, templates):
    out = SOLUTIONS["zero_shot_classifier"](encode, class_names, templates)
    if isinstance(class_names, list):
        class_names.sort()
    return out


def popped(encode, class_names, templates):
    out = SOLUTIONS["zero_shot_classifier"](encode, class_names, templates)
    if isinstance(templates, list):
        templates.pop()
    return out


# gap_metrics


def off(c):
    return (c.sum() - c.diagonal().sum()) / (len(c) ** 2 - len(c))


def measured(scale=unit, gap=lambda x, y: (x.mean(0) - y.mean(0)).norm(), matched=lambda x, y: (x * y).sum(1).mean(),
             mismatched=lambda x, y: off(x @ y.T), rmg=None, m=lambda x, y: (1 - (x * y).sum(1).mean()) / 2,
             w=lambda x, y: ((1 - off(x @ x.T)) / 2 + (1 - off(y @ y.T)) / 2) / 2, end=float):  # fmt: skip
    """A `gap_metrics` by rules: how features are scaled, and each of the four numbers."""

    def f(images, texts):
        x, y = scale(images), scale(texts)
        join = rmg or (lambda a, b: a / (a + b))
        numbers = {"gap": gap(x, y), "matched": matched(x, y), "mismatched": mismatched(x, y), "rmg": join(m(x, y), w(x, y))}
        return {name: end(value) for name, value in numbers.items()}

    return f


def half(c):
    return (1 - c) / 2


def by_cdist(images, texts):
    """Right: squared Euclidean distances of unit features, a quarter of which is (1 - cosine) / 2."""
    x, y = (z.div(z.norm(dim=1, keepdim=True)) for z in (images, texts))
    n = len(x)
    d = {name: torch.cdist(a, b).square() / 4 for name, (a, b) in {"xy": (x, y), "xx": (x, x), "yy": (y, y)}.items()}
    m, w = d["xy"].diagonal().mean(), (d["xx"].sum() + d["yy"].sum()) / (2 * n * (n - 1))
    other = 1 - 2 * d["xy"][~torch.eye(n, dtype=torch.bool)].mean()
    gap = torch.dist(x.mean(0), y.mean(0))
    return {"gap": gap.item(), "matched": (1 - 2 * m).item(), "mismatched": other.item(), "rmg": (m / (m + w)).item()}


def measured_by_numpy(images, texts):
    """Right: arrays and numbers of NumPy, the keys in another order."""
    x, y = (z.numpy() / np.linalg.norm(z.numpy(), axis=1, keepdims=True) for z in (images, texts))
    rows, columns = np.triu_indices(len(x), 1)
    m = (1 - np.diag(x @ y.T)).mean()
    w = ((1 - x @ x.T)[rows, columns].mean() + (1 - y @ y.T)[rows, columns].mean()) / 2
    others = (x @ y.T)[~np.eye(len(x), dtype=bool)]
    return {"rmg": m / (m + w), "gap": np.linalg.norm(x.mean(0) - y.mean(0)), "mismatched": others.mean(), "matched": 1 - m}


def measured_by_loop(images, texts):
    """Right: Python's own numbers, pair by pair."""
    x, y = ([[v / sum(u * u for u in row) ** 0.5 for v in row] for row in z.tolist()] for z in (images, texts))
    n = len(x)

    def mean(numbers):
        numbers = list(numbers)
        return sum(numbers) / len(numbers)

    def cosine(a, b):
        return sum(u * v for u, v in zip(a, b, strict=True))

    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    matched = mean(cosine(x[i], y[i]) for i in range(n))
    within = mean([mean(cosine(z[i], z[j]) for i, j in pairs) for z in (x, y)])
    gap = sum((mean(row[d] for row in x) - mean(row[d] for row in y)) ** 2 for d in range(len(x[0]))) ** 0.5
    return {"gap": gap, "matched": matched, "mismatched": mean(cosine(x[i], y[j]) for i, j in pairs),
            "rmg": (1 - matched) / (1 - matched + 1 - within)}  # fmt: skip


def divided_in_place(images, texts):
    images /= images.norm(dim=-1, keepdim=True)
    return SOLUTIONS["gap_metrics"](images, texts)


def renamed(old, new):
    return then("gap_metrics", lambda out: {new if name == old else name: value for name, value in out.items()})


def without(name):
    return then("gap_metrics", lambda out: {key: value for key, value in out.items() if key != name})


# clip_loss


def turn(x):
    return x.transpose(-1, -2)


def logits_of(images, texts, t):
    return unit(images) @ turn(unit(texts)) / t


def own(z):
    return z.diagonal(dim1=-2, dim2=-1)


def contrasted(logits=logits_of, rows=lambda z: -own(z.log_softmax(-1)).mean(-1),
               columns=lambda z: -own(z.log_softmax(-2)).mean(-1), join=lambda a, b: (a + b) / 2):  # fmt: skip
    """A `clip_loss` by rules: the logits, the cross-entropy of images and of texts, and how both are joined."""

    def f(images, texts, temperature):
        z = logits(images, texts, temperature)
        return join(rows(z), columns(z))

    return f


def both(rows, **options):
    """The same rule for images and texts."""
    return contrasted(rows=rows, columns=lambda z: rows(turn(z)), **options)


def by_cross_entropy(images, texts, temperature):
    """Right: F.cross_entropy, all rows of all batches in one long list."""
    z = logits_of(images, texts, temperature)
    n = z.shape[-1]
    labels = torch.arange(n).repeat(z.numel() // n // n)
    each = [F.cross_entropy(side.reshape(-1, n), labels, reduction="none").view(z.shape[:-1]) for side in (z, z.mT)]
    return sum(each).mean(-1) / 2


def by_batch(images, texts, temperature):
    """Right: batch by batch."""
    lead = images.shape[:-2]
    n = images.shape[-2]
    t = torch.as_tensor(temperature, dtype=images.dtype).expand(*lead, n, n).reshape(-1, n, n)
    found = []
    for x, y, one in zip(images.reshape(-1, *images.shape[-2:]), texts.reshape(-1, *texts.shape[-2:]), t, strict=True):
        z = F.cosine_similarity(x[:, None], y[None], dim=-1) / one
        found.append((F.cross_entropy(z, torch.arange(n)) + F.cross_entropy(z.T, torch.arange(n))) / 2)
    return torch.stack(found).reshape(lead)


def by_vmap(images, texts, temperature):
    """Right: torch.vmap over the leading dimensions."""
    lead, n = images.ndim - 2, images.shape[-2]

    def one(x, y, t):
        z = unit(x) @ unit(y).T / t
        return 0.5 * (F.cross_entropy(z, torch.arange(n)) + F.cross_entropy(z.T, torch.arange(n)))

    for _ in range(lead):
        one = torch.vmap(one)
    t = torch.as_tensor(temperature, dtype=images.dtype).expand(*images.shape[:-2], n, n)
    return one(images, texts, t)


def by_logsumexp(images, texts, temperature):
    """Right: logsumexp less the diagonal, normalised by hand."""
    x, y = (v / v.norm(dim=-1, keepdim=True) for v in (images, texts))
    z = torch.einsum("...id,...jd->...ij", x, y) / temperature
    return (z.logsumexp(-1) + z.logsumexp(-2) - 2 * own(z)).mean(-1) / 2


def as_one_batch(images, texts, temperature):
    return contrasted()(images.flatten(0, -2), texts.flatten(0, -2), temperature)


def averaged(images, texts, temperature):
    return contrasted()(images, texts, temperature).mean()


def with_T(images, texts, temperature):
    z = unit(images) @ unit(texts).T / temperature
    return contrasted(logits=lambda *args: z)(images, texts, temperature)


def plain_cross_entropy(images, texts, temperature):
    z = logits_of(images, texts, temperature)
    labels = torch.arange(z.shape[-1])
    return (F.cross_entropy(z, labels) + F.cross_entropy(turn(z), labels)) / 2


def wrong_dims(a, b, pick):
    return contrasted(rows=lambda z: -z.log_softmax(a if z.ndim > 2 else -1).diagonal(0, *pick).mean(-1),
                      columns=lambda z: -z.log_softmax(b if z.ndim > 2 else -2).diagonal(0, *pick).mean(-1))  # fmt: skip


def binary(reduce):
    return contrasted(rows=lambda z: reduce(F.binary_cross_entropy_with_logits(
        z, torch.eye(z.shape[-1], dtype=z.dtype).expand_as(z), reduction="none")), join=lambda a, b: a)  # fmt: skip


def masked(z):
    """The right one is left out of the denominator."""
    n = z.shape[-1]
    others = z.masked_fill(torch.eye(n, dtype=torch.bool), float("-inf"))
    return (others.logsumexp(-1) - own(z)).mean(-1)


def with_grad(change):
    """The solution on features that something is done to."""
    return given("clip_loss", change)


def scaled_in_place(images, texts, temperature):
    with torch.no_grad():
        texts /= texts.norm(dim=-1, keepdim=True)
    return SOLUTIONS["clip_loss"](images, texts, temperature)


# shifted


def moved(start=unit, gap=lambda x, y: x.mean(0) - y.mean(0), image=-0.5, text=0.5, end=unit, amount=same):
    """A `shifted` by rules: how features are scaled before and after, the gap, and the share that each side takes."""

    def f(images, texts, amount_given):
        x, y = start(images), start(texts)
        step = amount(amount_given) * gap(x, y)
        return end(x + image * step), end(y + text * step)

    f.__signature__ = SIGNATURES["shifted"]
    return f


def raw_gap(images, texts, amount):
    gap = images.mean(0) - texts.mean(0)
    return unit(unit(images) - amount / 2 * gap), unit(unit(texts) + amount / 2 * gap)


def raw_rows(images, texts, amount):
    gap = unit(images).mean(0) - unit(texts).mean(0)
    return unit(images - amount / 2 * gap), unit(texts + amount / 2 * gap)


def one_after_the_other(end):
    def f(images, texts, amount):
        x, y = unit(images), unit(texts)
        x = end(x - amount / 2 * (x.mean(0) - y.mean(0)))
        gap = x.mean(0) - y.mean(0)
        return unit(x), unit(y + amount / 2 * gap)

    return f


def centred(amount=lambda a: 1.0, end=unit):
    def f(images, texts, amount_given):
        return tuple(end(x - amount(amount_given) * x.mean(0)) for x in (unit(images), unit(texts)))

    f.__signature__ = SIGNATURES["shifted"]
    return f


def to_the_centre(images, texts, amount):
    x, y = unit(images), unit(texts)
    middle = (x.mean(0) + y.mean(0)) / 2
    return unit(x - x.mean(0) + middle), unit(y - y.mean(0) + middle)


def moved_by_numpy(images, texts, amount):
    """Right: arrays of NumPy, and tensors in the end."""
    x, y = (z.numpy() / np.linalg.norm(z.numpy(), axis=1, keepdims=True) for z in (images, texts))
    gap = (x.mean(0) - y.mean(0)) * amount * 0.5
    return [torch.from_numpy(z / np.linalg.norm(z, axis=1, keepdims=True)) for z in (x - gap, y + gap)]


def moved_to_the_middle(images, texts, amount):
    """Right: each mean moves towards the point between both."""
    x, y = unit(images), unit(texts)
    middle = x.mean(0).lerp(y.mean(0), 0.5)
    return unit(x + amount * (middle - x.mean(0))), unit(y + amount * (middle - y.mean(0)))


def moved_in_place(images, texts, amount):
    gap = unit(images).mean(0) - unit(texts).mean(0)
    images.copy_(unit(unit(images) - amount / 2 * gap))
    return images, unit(unit(texts) + amount / 2 * gap)


# procrustes


def rotated(product=lambda a, b: a.T @ b, r=lambda u, s, vh: u @ vh, prepare=same):
    """A `procrustes` by rules: which matrix is decomposed, and what is made of U, S and Vh."""

    def f(source, target):
        return r(*torch.linalg.svd(product(prepare(source), prepare(target))))

    f.__signature__ = SIGNATURES["procrustes"]
    return f


def rotated_by_numpy(source, target):
    """Right: NumPy's SVD, thin."""
    u, _, vh = np.linalg.svd(source.numpy().T @ target.numpy(), full_matrices=False)
    return torch.from_numpy(u @ vh)


def rotated_by_scipy(source, target):
    """Right: scipy's own function."""
    return torch.from_numpy(scipy.linalg.orthogonal_procrustes(source.numpy(), target.numpy())[0])


def rotated_by_polar(source, target):
    """Right: the polar decomposition."""
    return torch.from_numpy(scipy.linalg.polar(source.numpy().T @ target.numpy())[0])


def rotated_by_torch_svd(source, target):
    """Right: torch.svd, which gives V, of target.T @ source."""
    u, _, v = torch.svd(target.T @ source)
    return v @ u.T


def by_eigh(source, target):
    """M (M' M)^(-1/2), which is R as long as no singular value is 0."""
    m = source.T @ target
    values, v = torch.linalg.eigh(m.T @ m)
    return m @ v @ torch.diag(values.clamp(min=1e-30).rsqrt()) @ v.T


def kabsch(source, target):
    u, _, vh = torch.linalg.svd(source.T @ target)
    sign = torch.ones(len(u), dtype=u.dtype)
    sign[-1] = torch.linalg.det(u @ vh).sign()
    return u @ torch.diag(sign) @ vh


def middle(x):
    return x - x.mean(0)


def polar_of_lstsq(source, target):
    u, _, vh = torch.linalg.svd(torch.linalg.lstsq(source, target, driver="gelsd").solution)
    return u @ vh


def centred_in_place(source, target):
    out = SOLUTIONS["procrustes"](source, target)
    source -= source.mean(0)
    return out


# repaired


def best(a, b):
    return rotated()(a, b)


def mirrored(a, b):
    """The other rotation that a single pair of features allows: which one a program finds is up to its linear algebra."""
    u, _, vh = torch.linalg.svd(a.T @ b)
    return torch.cat([u[:, :1], -u[:, 1:]], 1) @ vh


def repairs(fit=lambda x, y, fit_on: (x[fit_on], y[fit_on]), r=best, scale=unit, end=lambda x, y, r, fit_on: x @ r):
    """A `repaired` by rules: which pairs are fitted on, what R is, how features are scaled, and what is turned."""

    def f(images, texts, fit_on):
        x, y = scale(images), scale(texts)
        return end(x, y, r(*fit(x, y, fit_on)), fit_on)

    return f


def everything(x, y, fit_on):
    return x, y


def transposed(a, b):
    return best(a, b).T


def repaired_by_numpy(images, texts, fit_on):
    """Right: NumPy, the rows that are not fitted on set to 0, float64 whatever came."""
    x, y = (z.double().numpy() / np.linalg.norm(z.double().numpy(), axis=1, keepdims=True) for z in (images, texts))
    u, _, vh = np.linalg.svd((x * fit_on.numpy()[:, None]).T @ y)
    return torch.tensor(x @ (u @ vh))


def repaired_by_indices(images, texts, fit_on):
    """Right: row numbers, texts onto images, and R transposed for it; normalised again."""
    rows = fit_on.nonzero().squeeze(1)
    r = scipy.linalg.orthogonal_procrustes(unit(texts)[rows].numpy(), unit(images)[rows].numpy())[0]
    return unit(unit(images) @ torch.from_numpy(r).T)


def lengths_after(images, texts, fit_on):
    """Right: images are turned as they came, by the R of unit features, and normalised in the end."""
    r = best(unit(images)[fit_on], unit(texts)[fit_on])
    return unit(images @ r)


def of_raw_features(images, texts, fit_on):
    """Fitted on features as they came."""
    return unit(images) @ best(images[fit_on], texts[fit_on])


def with_raw_images(r):
    return lambda images, texts, fit_on: images @ r(unit(images)[fit_on], unit(texts)[fit_on])


def scaled_too(images, texts, fit_on):
    a, b = unit(images)[fit_on], unit(texts)[fit_on]
    r, total = scipy.linalg.orthogonal_procrustes(a.numpy(), b.numpy())
    return unit(images) @ torch.from_numpy(r) * (total / float(a.square().sum()))


def not_unpacked(images, texts, fit_on):
    r = scipy.linalg.orthogonal_procrustes(unit(images)[fit_on].numpy(), unit(texts)[fit_on].numpy())
    return unit(images) @ torch.from_numpy(r)


def with_means(x, y, r, fit_on):
    a, b = x[fit_on].mean(0), y[fit_on].mean(0)
    return (x - a) @ best(x[fit_on] - a, y[fit_on] - b) + b


def unit_in_place(images, texts, fit_on):
    images.copy_(unit(images))
    return SOLUTIONS["repaired"](images, texts, fit_on)


# recall_by_name


def put(names, label, name, candidates):
    return [name if k == label else other for k, other in enumerate(names)]


def photo(name):
    return f"a photo of a {name}"


def recalled(called=put, prompt=photo, scale=unit, images=same, best=lambda x, w: (x @ w.T).argmax(-1), key=same,
             place=lambda called, label, name, candidates: label, share=lambda hits: float(hits.float().mean())):  # fmt: skip
    """A `recall_by_name` by rules: the list for each candidate, its prompts, and which images count."""

    def f(images_given, encode, class_names, label, candidates):
        shares = {}
        for name in candidates:
            names = called(class_names, label, name, candidates)
            prompts = scale(encode([prompt(each) for each in names]))
            hits = best(images(images_given), prompts) == place(names, label, name, candidates)
            shares[key(name)] = share(hits)
        return shares

    f.__signature__ = SIGNATURES["recall_by_name"]
    return f


def added(names, label, name, candidates):
    return [*names, name]


def last_place(names, label, name, candidates):
    return len(names) - 1


def others_of(names, label):
    return [name for k, name in enumerate(names) if k != label]


def up_to(name, candidates):
    return list(candidates[: candidates.index(name) + 1])


def encoded_once(images, encode, class_names, label, candidates):
    """Right: all names and candidates in one call, and the candidate's cosine against the best of the others."""
    w = unit(encode([photo(name) for name in (*class_names, *candidates)]))
    cosines = unit(images) @ w.T
    k = len(class_names)
    rival = cosines[:, [j for j in range(k) if j != label]].amax(1)
    return {name: (cosines[:, k + i] > rival).double().mean().item() for i, name in enumerate(candidates)}


def prompt_by_prompt(images, encode, class_names, label, candidates):
    """Right: one text at a time, a list of its own that is changed in place, image by image."""
    called, found = list(class_names), {}
    for name in candidates:
        called[label] = name
        w = torch.cat([encode([photo(each)]) for each in called])
        best = [int(F.cosine_similarity(image[None], w).argmax()) for image in images]
        found[name] = best.count(label) / len(best)
    return found


def by_numpy_names(images, encode, class_names, label, candidates):
    """Right: NumPy, another order of keys, and the class found again by its new name."""
    found = {}
    for name in reversed(candidates):
        called = [*class_names[:label], name, *class_names[label + 1 :]]
        w = encode(tuple(map(photo, called))).numpy()
        best = np.argmax(images.numpy() @ (w / np.linalg.norm(w, axis=1, keepdims=True)).T, axis=1)
        found[name] = np.mean(np.array(called)[best] == name)
    return found


def renamed_in_place(images, encode, class_names, label, candidates):
    """The list that came is changed."""
    found = {}
    for name in candidates:
        class_names[label] = name
        w = unit(encode([photo(each) for each in class_names]))
        found[name] = float(((images @ w.T).argmax(-1) == label).float().mean())
    return found


def renamed_by_index(images, encode, class_names, label, candidates):
    called, old, found = list(class_names), class_names[label], {}
    for name in candidates:
        called[called.index(old)] = name
        found[name] = recalled(lambda *args: called)(images, encode, class_names, label, [name])[name]
    return found


def renamed_as_text(images, encode, class_names, label, candidates):
    old = class_names[label]
    return recalled(lambda n, k, name, c: [each.replace(old, name) for each in n])(
        images, encode, class_names, label, candidates
    )


def first_alone(images, encode, class_names, label, candidates):
    return recalled()(images, encode, class_names, label, candidates[:1])


def by_old_name(images, encode, class_names, label, candidates):
    found = {}
    for name in candidates:
        called = put(class_names, label, name, candidates)
        best = (images @ unit(encode([photo(each) for each in called])).T).argmax(-1)
        found[name] = sum(called[i] == class_names[label] for i in best) / len(images)
    return found


def encode_each(images, encode, class_names, label, candidates):
    """encode is called with a str."""
    w = torch.stack([encode(photo(name)) for name in class_names])
    return {name: float(((images @ w.T).argmax(-1) == label).float().mean()) for name in candidates}


def averaged_first(scale):
    return recalled(images=lambda x: scale(x).mean(0, keepdim=True))


def shifted_by(step, at=0):
    """Another class is counted, or (`at`) renamed."""
    return recalled(lambda n, k, name, c: put(n, k + at, name, c), place=lambda n, k, name, c: k + step)


def beside(*, either=False):
    """The old name stays; its images are counted, or those of both."""

    def f(images, encode, class_names, label, candidates):
        found = {}
        for name in candidates:
            best = (images @ unit(encode([photo(each) for each in (*class_names, name)])).T).argmax(-1)
            found[name] = float(((best == label) | (either & (best == len(class_names)))).float().mean())
        return found

    return f


def scored(score):
    """The mean of a score of the class, in place of the share."""

    def f(images, encode, class_names, label, candidates):
        lists = {name: put(class_names, label, name, candidates) for name in candidates}
        return {name: float(score(unit(images) @ unit(encode([photo(n) for n in names])).T)[:, label].mean())
                for name, names in lists.items()}  # fmt: skip

    return f


MISTAKES = [
    ("zero_shot_classifier", classified(before=same), "the prompts were not normalised before"),
    ("zero_shot_classifier", classified(after=same), "normalise it again"),
    ("zero_shot_classifier", classified(before=same, after=same), "prompts were not normalised either"),
    ("zero_shot_classifier", classified(join=lambda x: x.sum(0), after=same), "the sum was not normalised"),
    ("zero_shot_classifier", classified(lambda n, t: [[t[0].format(name)] for name in n]), "only the first template"),
    ("zero_shot_classifier", classified(lambda n, t: [[t[-1].format(name)] for name in n]), "only the last template"),
    ("zero_shot_classifier", classified(join=lambda x: x[0]), "only the first template"),
    ("zero_shot_classifier", classified(join=lambda x: x[-1]), "only the last template"),
    ("zero_shot_classifier", classified(before=same, join=lambda x: x[0], after=same), "the first template was used, and not"),
    ("zero_shot_classifier", reshaped("names", "tk", 0), "classes and templates are mixed up"),
    ("zero_shot_classifier", reshaped("templates", "kt", 1), "here the templates are the outer loop"),
    ("zero_shot_classifier", reshaped("names", "kt", 0), "the mean over classes, one row a template"),
    ("zero_shot_classifier", reshaped("templates", "tk", 1), "the mean over classes, one row a template"),
    ("zero_shot_classifier", classified(lambda n, t: [[name] for name in n]), "the bare name of the class was encoded"),
    ("zero_shot_classifier", then("zero_shot_classifier", lambda w: w.T), "this is (D, K)"),
    ("zero_shot_classifier", classified(after=lambda w: w / w.norm(dim=0)), "normalised along dimension 0: the length"),
    ("zero_shot_classifier", by_table(lambda x: unit(unit(x.mean(1)), 0)), "along dimension 0"),
    ("zero_shot_classifier", classified(before=lambda x: unit(x, 0)), "over the templates: dim=-1"),
    ("zero_shot_classifier", classified(after=lambda w: w / w.norm()), "divided by one length"),
    ("zero_shot_classifier", classified(after=lambda w: F.normalize(w, p=1, dim=-1)), "the sum of their |values|"),
    ("zero_shot_classifier", classified(join=lambda x: x.median(0).values), "the median over templates"),
    ("zero_shot_classifier", classified(join=lambda x: x.quantile(0.5, 0)), "the median over templates"),
    ("zero_shot_classifier", classified(join=lambda x: x.max(0).values), "the largest value over templates"),
    ("zero_shot_classifier", classified(join=lambda x: x.min(0).values), "the smallest value over templates"),
    ("zero_shot_classifier", by_table(lambda x: unit(x.mean((0, 1)))), "all prompts of all classes were averaged"),
    ("zero_shot_classifier", by_table(lambda x: unit(x.mean((0, 1)))[None]), "all prompts of all classes were averaged"),
    ("zero_shot_classifier", by_table(lambda x: unit(x.mean((0, 1))).expand(len(x), -1)), "given the mean of all prompts"),
    ("zero_shot_classifier", by_table(lambda x: unit(x.mean(1))[:1].expand(len(x), -1)), "given the row of the first"),
    ("zero_shot_classifier", by_table(lambda x: x.flatten(0, 1)), "each prompt is a row"),
    ("zero_shot_classifier", by_table(same), "the templates are still there"),
    ("zero_shot_classifier", by_table(lambda x: unit(x.mean(2))), "shape"),
    *[("zero_shot_classifier", classified(lambda n, t, glue=glue: [[glue.join(p.format(name) for p in t)] for name in n]),
       "joined to one text") for glue in (" ", "", ", ", ". ")],
    ("zero_shot_classifier", classified(lambda n, t: [[p.format(n) for p in t] for _ in n]), "all names were filled in at"),
    ("zero_shot_classifier", classified(lambda n, t: [[p.format(name) for p in t] for name in sorted(n)]), "alphabetical"),
    ("zero_shot_classifier", classified(lambda n, t: [[p.format(name) for p in t] for name in n[::-1]]), "rows are in reverse"),
    ("zero_shot_classifier", classified(lambda n, t: [[p.format(i) for p in t] for i, _ in enumerate(n)]),
     "the number of the class was filled in"),
    ("zero_shot_classifier", classified(lambda n, t: [list(t) for _ in n]), "a template was not filled in"),
    ("zero_shot_classifier", classified(lambda n, t: [list(t[0].format(name)) for name in n]), "letter by letter"),
    ("zero_shot_classifier", classified(lambda n, t: [[p.format(name.title()) for p in t] for name in n]), "as it stands"),
    ("zero_shot_classifier", classified(lambda n, t: [[p.format(name) for p in t[1:] or t] for name in n]), "never asked for"),
    ("zero_shot_classifier", a_str, "also of a single one: [text]"),
    ("zero_shot_classifier", not_one_by_one, "one flat list of texts"),
    ("zero_shot_classifier", classified(lambda n, t: [[] for _ in n]), "an empty list"),
    ("zero_shot_classifier", then("zero_shot_classifier", lambda w: w.squeeze(0)), "the dimension of the classes is lost"),
    ("zero_shot_classifier", then("zero_shot_classifier", lambda w: w.numpy()), "torch.from_numpy"),
    ("zero_shot_classifier", then("zero_shot_classifier", list), "torch.stack joins tensors"),
    ("zero_shot_classifier", then("zero_shot_classifier", lambda w: None), "no return statement"),
    ("zero_shot_classifier", sorted_in_place, "class_names unchanged"),
    ("zero_shot_classifier", popped, "templates unchanged"),
    ("zero_shot_classifier", touched("zero_shot_classifier", gradients_off), "that nobody takes back"),
    ("gap_metrics", measured(same), "gap: 0.848528"),
    ("gap_metrics", measured(same), "the features were not normalised"),
    ("gap_metrics", measured(lambda x: unit(x, 0)), "normalised along dimension 0"),
    ("gap_metrics", measured(lambda x: x / x.norm()), "divided by one length"),
    ("gap_metrics", measured(lambda x: F.normalize(x, p=1, dim=-1)), "the sum of their |values|"),
    ("gap_metrics", measured(lambda x: unit(x - x.mean(0))), "the features were centred"),
    ("gap_metrics", measured(lambda x: unit(x) - unit(x).mean(0)), "the unit features were centred:"),
    ("gap_metrics", measured(gap=lambda x, y: (x - y).norm(dim=1).mean()), "the mean distance of the pairs"),
    ("gap_metrics", measured(gap=lambda x, y: torch.cdist(x, y).mean()), "every image from every text"),
    ("gap_metrics", measured(gap=lambda x, y: (x.mean(0) - y.mean(0)).square().sum()), "the squared distance"),
    ("gap_metrics", measured(gap=lambda x, y: (unit(x.mean(0)) - unit(y.mean(0))).norm()), "the means were normalised before"),
    ("gap_metrics", measured(gap=lambda x, y: unit(x.mean(0)) @ unit(y.mean(0))), "this is the cosine of the two means"),
    ("gap_metrics", measured(gap=lambda x, y: 1 - unit(x.mean(0)) @ unit(y.mean(0))), "1 - the cosine of the two means"),
    ("gap_metrics", measured(gap=lambda x, y: x.mean(0) @ y.mean(0)), "the dot product of the two means"),
    ("gap_metrics", measured(gap=lambda x, y: (x.mean(0) - y.mean(0)).abs().sum()), "the sum of the |differences|"),
    ("gap_metrics", measured(gap=lambda x, y: (x.mean(0) - y.mean(0)).abs().mean()), "the mean of the |differences|"),
    ("gap_metrics", measured(gap=lambda x, y: (x.mean(0) - y.mean(0)).abs().max()), "the largest |difference|"),
    ("gap_metrics", measured(gap=lambda x, y: (x.mean(0) - y.mean(0)).square().mean().sqrt()), "averaged over D: they are"),
    ("gap_metrics", measured(gap=lambda x, y: x.mean(0).norm() - y.mean(0).norm()), "the difference of the lengths"),
    ("gap_metrics", measured(gap=lambda x, y: (x.sum(0) - y.sum(0)).norm()), "the distance of the sums"),
    ("gap_metrics", measured(gap=lambda x, y: (x.mean(1) - y.mean(1)).norm()), "means are over the features"),
    ("gap_metrics", measured(gap=lambda x, y: x.mean(0) - y.mean(0), end=same), "a vector: take its length"),
    ("gap_metrics", measured(gap=lambda x, y: x.mean(0) - y.mean(0)), "makes a number of one value"),
    ("gap_metrics", measured(matched=lambda x, y: (x @ y.T).mean()), "an image's own text stands on the diagonal"),
    ("gap_metrics", measured(matched=lambda x, y: (x * y).sum()), "this is the sum over the pairs"),
    ("gap_metrics", measured(matched=lambda x, y: (x @ y.T).diagonal().sum() / len(x) ** 2), "it has N numbers"),
    ("gap_metrics", measured(matched=lambda x, y: (x * y).mean()), "averaged over D, too"),
    ("gap_metrics", measured(matched=lambda x, y: half((x * y).sum(1).mean())), "matched: 0.2"),
    ("gap_metrics", measured(matched=lambda x, y: half((x * y).sum(1).mean())), "this is the mean distance"),
    ("gap_metrics", measured(matched=lambda x, y: (x - y).norm(dim=1).mean()), "this is the Euclidean distance"),
    ("gap_metrics", measured(matched=lambda x, y: unit(x.mean(0)) @ unit(y.mean(0))), "take the mean of the cosines"),
    ("gap_metrics", measured(matched=lambda x, y: (x * y).sum(1), end=same), "these are the cosines of each pair"),
    ("gap_metrics", then("gap_metrics", lambda d: {**d, "matched": d["mismatched"], "mismatched": d["matched"]}),
     "this is the mismatched ones' number"),
    ("gap_metrics", measured(mismatched=lambda x, y: (x @ y.T).mean()), "with the matched ones"),
    ("gap_metrics", measured(mismatched=lambda x, y: (x @ y.T).fill_diagonal_(0).mean()), "it still counts"),
    ("gap_metrics", measured(mismatched=lambda x, y: (x @ y.T).sum() / (len(x) ** 2 - len(x))), "with the diagonal, was"),
    ("gap_metrics", measured(mismatched=lambda x, y: (x @ y.T).fill_diagonal_(0).sum()), "this is the sum: divide"),
    ("gap_metrics", measured(mismatched=lambda x, y: off(y @ y.T)), "texts among themselves"),
    ("gap_metrics", measured(mismatched=lambda x, y: off(x @ x.T)), "images among themselves"),
    ("gap_metrics", measured(mismatched=lambda x, y: (x * y.roll(1, 0)).sum(1).mean()), "one other text alone"),
    ("gap_metrics", measured(mismatched=lambda x, y: (x * y.roll(-1, 0)).sum(1).mean()), "one other text alone"),
    ("gap_metrics", measured(mismatched=lambda x, y: (x @ y.T)[tuple(torch.triu_indices(len(x), len(x), 1))].mean()),
     "half of the pairs are missing"),
    ("gap_metrics", measured(rmg=lambda m, w: m / w), "this is m / w"),
    ("gap_metrics", measured(rmg=lambda m, w: w / (m + w)), "this is 1 - rmg"),
    ("gap_metrics", measured(rmg=lambda m, w: m - w), "this is m - w"),
    ("gap_metrics", measured(rmg=lambda m, w: m), "this is m alone"),
    ("gap_metrics", measured(w=lambda x, y: half(off(x @ x.T)) + half(off(y @ y.T))), "the mean of two numbers, not their sum"),
    ("gap_metrics", measured(w=lambda x, y: (half(x @ x.T).mean() + half(y @ y.T).mean()) / 2), "0 from itself counts"),
    ("gap_metrics", measured(w=lambda x, y: half(off(x @ x.T))), "w is of images alone"),
    ("gap_metrics", measured(w=lambda x, y: half(off(y @ y.T))), "w is of texts alone"),
    ("gap_metrics", measured(w=lambda x, y: half(off(x @ y.T))), "it is within a modality"),
    ("gap_metrics", measured(m=lambda x, y: half((x @ y.T).mean())), "m is the mean over all pairs"),
    ("gap_metrics", measured(m=lambda x, y: half(off(x @ y.T))), "m is over mismatched pairs"),
    ("gap_metrics", measured(m=lambda x, y: 1 - (x * y).sum(1).mean()), "w was halved and m was not"),
    ("gap_metrics", measured(w=lambda x, y: 1 - (off(x @ x.T) + off(y @ y.T)) / 2), "its distances are halved as those of m"),
    ("gap_metrics", measured(m=lambda x, y: (x - y).norm(dim=1).mean(), w=lambda x, y: (
        off(torch.cdist(x, x)) + off(torch.cdist(y, y))) / 2), "these are Euclidean distances: "),
    ("gap_metrics", measured(m=lambda x, y: (x - y).norm(dim=1).mean(), w=lambda x, y: (
        torch.cdist(x, x).mean() + torch.cdist(y, y).mean()) / 2), "these are Euclidean distances, and"),
    ("gap_metrics", measured(m=lambda x, y: (x * y).sum(1).mean(), w=lambda x, y: (off(x @ x.T) + off(y @ y.T)) / 2),
     "these are cosines in place of distances"),
    ("gap_metrics", measured(m=lambda x, y: (x.mean(0) - y.mean(0)).norm()), "this is gap / (gap + w)"),
    ("gap_metrics", without("rmg"), "keys 'gap', 'matched', 'mismatched'"),
    ("gap_metrics", renamed("mismatched", "unmatched"), "the names are as they stand"),
    ("gap_metrics", then("gap_metrics", lambda d: {**d, "m": 1.0}), "'m' too"),
    ("gap_metrics", then("gap_metrics", lambda d: tuple(d.values())), "got tuple"),
    ("gap_metrics", then("gap_metrics", lambda d: None), "no return statement"),
    ("gap_metrics", then("gap_metrics", lambda d: {k: torch.tensor(v, requires_grad=True) for k, v in d.items()}),
     "a tensor with a graph"),
    ("gap_metrics", divided_in_place, "images unchanged"),
    ("gap_metrics", touched("gap_metrics", lambda x, y: y.sub_(1)), "texts unchanged"),
    ("gap_metrics", touched("gap_metrics", gradients_off), "that nobody takes back"),
    ("clip_loss", contrasted(join=lambda a, b: a), "this is the images' cross-entropy alone"),
    ("clip_loss", contrasted(join=lambda a, b: b), "this is the texts' cross-entropy alone"),
    ("clip_loss", contrasted(join=lambda a, b: a + b), "both directions were added up"),
    ("clip_loss", contrasted(join=lambda a, b: -(a + b) / 2), "the sign is turned round"),
    ("clip_loss", contrasted(lambda x, y, t: unit(x) @ turn(unit(y)) * t), "multiplied by the temperature"),
    ("clip_loss", contrasted(lambda x, y, t: unit(x) @ turn(unit(y))), "the temperature is missing"),
    ("clip_loss", contrasted(lambda x, y, t: logits_of(x, y, t) / t), "divided by the temperature twice"),
    ("clip_loss", contrasted(lambda x, y, t: logits_of(x, y, torch.as_tensor(t).exp())), "divided by exp(temperature)"),
    ("clip_loss", contrasted(lambda x, y, t: logits_of(x, y, (-torch.as_tensor(t)).exp())), "multiplied by exp(temperature)"),
    ("clip_loss", contrasted(lambda x, y, t: x @ turn(y) / t), "neither images nor texts were normalised"),
    ("clip_loss", contrasted(lambda x, y, t: x @ turn(unit(y)) / t), "the images were not normalised"),
    ("clip_loss", contrasted(lambda x, y, t: unit(x) @ turn(y) / t), "the texts were not normalised"),
    ("clip_loss", contrasted(lambda x, y, t: unit(x, -2) @ turn(unit(y, -2)) / t), "normalised over the pairs"),
    ("clip_loss", contrasted(lambda x, y, t: -torch.cdist(unit(x), unit(y)).square() / t), "minus squared distances"),
    ("clip_loss", both(lambda z: (z.flatten(-2).logsumexp(-1, keepdim=True) - own(z)).mean(-1)), "over all N² pairs: each"),
    ("clip_loss", both(masked), "missing from the sum below"),
    ("clip_loss", both(lambda z: -z.log_softmax(-1)[..., 0].mean(-1)), "class 0 is right for all rows"),
    ("clip_loss", binary(lambda v: v.mean((-1, -2))), "the binary cross-entropy of the N² pairs"),
    ("clip_loss", binary(lambda v: v.sum(-1).mean(-1)), "the binary cross-entropy, summed over each row"),
    ("clip_loss", lambda images, texts, temperature: (unit(images) * unit(texts)).sum(-1).mean(-1), "the mean cosine of the"),
    ("clip_loss", lambda images, texts, temperature: 1 - (unit(images) * unit(texts)).sum(-1).mean(-1), "1 - the mean cosine"),
    ("clip_loss", both(lambda z: -own(z).mean(-1)), "log_softmax is missing"),
    ("clip_loss", both(lambda z: -own(z.softmax(-1)).mean(-1)), "these are probabilities"),
    ("clip_loss", both(lambda z: -own(z.softmax(-1).log_softmax(-1)).mean(-1)), "softmax came before"),
    ("clip_loss", both(lambda z: -own(z.log_softmax(-1)).sum(-1)), "this is the sum over the pairs"),
    ("clip_loss", both(lambda z: -own(z.log_softmax(-1)).sum(-1), join=lambda a, b: a + b), "over the pairs and both"),
    ("clip_loss", both(lambda z: -own(z.log_softmax(-1))), "the loss of each pair"),
    *[("clip_loss", both(lambda z, eps=eps: -own((z.softmax(-1) + eps).log()).mean(-1)), "log_softmax, or F.cross_entropy")
      for eps in (1e-6, 1e-8, 1e-12)],
    ("clip_loss", both(lambda z: -own(z.softmax(-1).clamp(min=1e-12).log()).mean(-1)), "log_softmax, or F.cross_entropy"),
    ("clip_loss", both(lambda z: -own(z.softmax(-1).log()).mean(-1)), "overflows"),
    ("clip_loss", both(lambda z: -own((z.exp() / z.exp().sum(-1, keepdim=True)).log()).mean(-1)), "overflows"),
    ("clip_loss", averaged, "the batches were averaged"),
    ("clip_loss", lambda images, texts, temperature: contrasted()(images, texts, temperature).sum(), "batches were added up"),
    ("clip_loss", as_one_batch, "the batches were joined to one long one"),
    ("clip_loss", then("clip_loss", lambda loss: loss.flatten()[0]), "the loss of the first batch"),
    ("clip_loss", wrong_dims(1, 0, (-2, -1)), "softmax over wrong dimensions"),
    ("clip_loss", wrong_dims(1, 0, (0, 1)), "softmax and diagonal of wrong ones"),
    ("clip_loss", wrong_dims(-1, -2, (0, 1)), "the diagonal is of the first two dimensions"),
    ("clip_loss", with_T, "the last two dimensions"),
    ("clip_loss", plain_cross_entropy, "F.cross_entropy takes"),
    ("clip_loss", lambda images, texts, temperature: contrasted()(images, texts, float(temperature)), "may be a tensor"),
    ("clip_loss", lambda images, texts, temperature: contrasted()(images, texts, torch.as_tensor(temperature).flatten()[0]),
     "the temperature of the first"),
    ("clip_loss", given("clip_loss", lambda x, y, t: (x.detach(), y, t)), "cuts the images off"),
    ("clip_loss", given("clip_loss", lambda x, y, t: (x, y.detach(), t)), "cuts the texts off"),
    ("clip_loss", given("clip_loss", lambda x, y, t: (x, y, torch.as_tensor(t).detach())), "cuts the temperature off"),
    ("clip_loss", contrasted(columns=lambda z: -own(z.detach().log_softmax(-2)).mean(-1)), "cuts a part of the loss off"),
    ("clip_loss", contrasted(lambda x, y, t: x / x.detach().norm(dim=-1, keepdim=True) @ turn(unit(y)) / t),
     "cuts a part of the loss off"),
    ("clip_loss", then("clip_loss", lambda loss: loss.detach()), "cuts the loss off from the features"),
    ("clip_loss", then("clip_loss", lambda loss: loss.detach().numpy()), "stay with tensors to the end"),
    ("clip_loss", then("clip_loss", lambda loss: float(loss.sum())), "stay with tensors to the end"),
    ("clip_loss", then("clip_loss", lambda loss: None), "no return statement"),
    ("clip_loss", scaled_in_place, "texts unchanged"),
    ("clip_loss", touched("clip_loss", gradients_off), "that nobody takes back"),
    ("shifted", moved(image=-1, text=1), "each side moved by all of `amount`"),
    ("shifted", moved(text=0), "only the images moved: "),
    ("shifted", moved(image=0), "only the texts moved: "),
    ("shifted", moved(image=-1, text=0), "only the images moved, all the way"),
    ("shifted", moved(image=0, text=1), "only the texts moved, all the way"),
    ("shifted", moved(image=0.5, text=-0.5), "the wrong sign, which widens"),
    ("shifted", moved(gap=lambda x, y: y.mean(0) - x.mean(0)), "the wrong sign, which widens"),
    ("shifted", moved(image=-0.5, text=-0.5), "both moved the same way"),
    ("shifted", moved(image=0.5), "both moved the same way"),
    ("shifted", moved(end=same), "not normalised after the move"),
    ("shifted", moved(start=same), "the features were not normalised before all this"),
    ("shifted", moved(start=same, end=same), "nothing was normalised"),
    ("shifted", raw_rows, "not normalised before the move"),
    ("shifted", raw_gap, "the gap is that of features as they came"),
    ("shifted", moved(gap=lambda x, y: unit(x.mean(0) - y.mean(0))), "a vector of length 1"),
    ("shifted", moved(gap=lambda x, y: unit(x.mean(0)) - unit(y.mean(0))), "the means were normalised before"),
    ("shifted", moved(gap=lambda x, y: x.sum(0) - y.sum(0)), "the gap is that of the sums"),
    ("shifted", moved(gap=lambda x, y: x.median(0).values - y.median(0).values), "the gap is that of the medians"),
    ("shifted", moved(gap=lambda x, y: x[0] - y[0]), "the first image and the first text"),
    ("shifted", moved(gap=lambda x, y: x - y), "the numbers of images and texts may differ"),
    ("shifted", moved(gap=lambda x, y: x - y), "each pair has its own gap"),
    ("shifted", moved(amount=lambda a: 1), "`amount` was ignored, as if it were 1"),
    ("shifted", moved(amount=lambda a: 0), "nothing moved"),
    ("shifted", given("shifted", lambda x, y, a: (x, y, a / 2)), "by a quarter of `amount`"),
    ("shifted", centred(), "each modality was centred, on its own mean"),
    ("shifted", centred(end=same), "each modality was centred and not normalised"),
    ("shifted", centred(same), "lost `amount` of its own mean"),
    ("shifted", to_the_centre, "moved onto the centre between them"),
    ("shifted", one_after_the_other(same), "worked out again after the images had moved: "),
    ("shifted", one_after_the_other(unit), "and were normalised: it is that of the start"),
    ("shifted", moved(end=lambda x: unit(x, 0)), "along dimension 0 in the last step"),
    ("shifted", then("shifted", lambda out: out[::-1]), "the pair is swapped"),
    ("shifted", then("shifted", lambda out: out[0]), "return both"),
    ("shifted", then("shifted", lambda out: None), "no return statement"),
    ("shifted", then("shifted", lambda out: tuple(x.numpy() for x in out)), "torch.from_numpy"),
    ("shifted", moved_in_place, "images unchanged"),
    ("shifted", touched("shifted", lambda x, y, a: y.sub_(y.mean(0))), "texts unchanged"),
    ("shifted", touched("shifted", gradients_off), "that nobody takes back"),
    ("procrustes", then("procrustes", lambda r: r.T), "this brings target @ R closest to source"),
    ("procrustes", rotated(lambda a, b: b.T @ a), "this brings target @ R closest to source"),
    ("procrustes", rotated(r=lambda u, s, vh: vh.T @ u.T), "rows are multiplied from the left"),
    ("procrustes", rotated(r=lambda u, s, vh: u @ vh.T), "the transpose of what is transposed already"),
    ("procrustes", rotated(r=lambda u, s, vh: u.T @ vh), "this is U.T Vh"),
    ("procrustes", rotated(r=lambda u, s, vh: u.T @ vh.T), "this is U.T V:"),
    ("procrustes", rotated(r=lambda u, s, vh: vh @ u), "this is Vh U, in the wrong order"),
    ("procrustes", rotated(r=lambda u, s, vh: u @ torch.diag(s) @ vh), "this is source.T @ target itself"),
    ("procrustes", rotated(r=lambda u, s, vh: u), "this is U alone"),
    ("procrustes", rotated(r=lambda u, s, vh: vh), "this is Vh alone"),
    ("procrustes", rotated(r=lambda u, s, vh: vh.T), "this is V alone"),
    ("procrustes", rotated(r=lambda u, s, vh: (u, s, vh)), "this is U, S and Vh"),
    ("procrustes", lambda source, target: torch.linalg.lstsq(source, target).solution, "this is least squares, which"),
    ("procrustes", lambda source, target: torch.linalg.pinv(source) @ target, "this is least squares, which"),
    ("procrustes", lambda source, target: torch.linalg.inv(source.T @ target), "this is the inverse"),
    ("procrustes", polar_of_lstsq, "this is least squares made orthogonal"),
    ("procrustes", polar_of_lstsq, "R is orthogonal, but it leaves a sum"),
    ("procrustes", rotated(prepare=unit), "the rows were normalised first"),
    ("procrustes", rotated(prepare=middle), "the features were centred first"),
    ("procrustes", rotated(prepare=lambda x: unit(middle(x))), "centred and normalised first"),
    ("procrustes", rotated(prepare=middle), "another R brings the rows closer"),
    ("procrustes", kabsch, "so that the determinant is 1"),
    ("procrustes", kabsch, "leave the determinant as it is"),
    ("procrustes", lambda source, target: torch.eye(source.shape[1], dtype=source.dtype), "this is the identity"),
    ("procrustes", rotated(lambda a, b: a @ b.T), "of pairs of rows: source.T @ target is (D, D)"),
    ("procrustes", by_eigh, "there are fewer rows than dimensions"),
    ("procrustes", lambda source, target: source @ best(source, target), "these are features: return R itself"),
    ("procrustes", lambda source, target: scipy.linalg.orthogonal_procrustes(source.numpy(), target.numpy()), "got a pair"),
    ("procrustes", lambda source, target: rotated_by_scipy(source, target).numpy(), "torch.from_numpy"),
    ("procrustes", lambda source, target: best(source.float(), target.float()), "R of dtype float64"),
    ("procrustes", lambda source, target: best(source.double(), target.double()), "R of dtype float32"),
    ("procrustes", then("procrustes", lambda r: -r), "the sign of R is turned round"),
    ("procrustes", then("procrustes", lambda r: None), "no return statement"),
    ("procrustes", centred_in_place, "source unchanged"),
    ("procrustes", touched("procrustes", lambda a, b: b.mul_(2)), "target unchanged"),
    ("procrustes", touched("procrustes", gradients_off), "that nobody takes back"),
    ("repaired", repairs(r=transposed), "the rotation is transposed, which turns"),
    ("repaired", repairs(fit=lambda x, y, k: (y[k], x[k])), "the rotation is transposed, which turns"),
    ("repaired", repairs(everything), "fitted on all pairs, also on those it is judged by"),
    ("repaired", repairs(everything, transposed), "two slips. The rotation is transposed; the rotation was fitted on all"),
    ("repaired", repairs(lambda x, y, k: (x[~k], y[~k])), "for which fit_on is False"),
    ("repaired", repairs(lambda x, y, k: (x[: k.sum()], y[: k.sum()])), "fitted on the first pairs"),
    ("repaired", repairs(lambda x, y, k: (x[k.long()], y[k.long()])), "read as numbers of rows"),
    ("repaired", repairs(lambda x, y, k: (x[k], y)), "the same rows of both"),
    ("repaired", repairs(end=lambda x, y, r, k: y @ r), "the texts were turned, the wrong way"),
    ("repaired", repairs(r=transposed, end=lambda x, y, r, k: y @ r), "these are the texts, turned onto the images"),
    ("repaired", repairs(end=lambda x, y, r, k: y), "these are the texts: "),
    ("repaired", repairs(end=lambda x, y, r, k: (x @ r, y)), "return the images alone"),
    ("repaired", repairs(end=lambda x, y, r, k: x[k] @ r), "only the images fitted on are returned"),
    ("repaired", repairs(end=lambda x, y, r, k: x[~k] @ r), "only the images that were not fitted on are returned"),
    ("repaired", repairs(end=lambda x, y, r, k: torch.where(k[:, None], x @ r, x)), "only the images fitted on were turned"),
    ("repaired", repairs(end=lambda x, y, r, k: torch.where(k[:, None], x, x @ r)), "that were not fitted on were turned"),
    ("repaired", repairs(end=lambda x, y, r, k: x @ r * k[:, None]), "images not fitted on are 0"),
    ("repaired", repairs(end=lambda x, y, r, k: x), "nothing was turned"),
    ("repaired", repairs(end=lambda x, y, r, k: r), "this is R itself"),
    ("repaired", repairs(end=lambda x, y, r, k: x @ r @ r), "the images were turned twice"),
    ("repaired", repairs(end=lambda x, y, r, k: x + (y[k].mean(0) - x[k].mean(0))), "by the difference of the means"),
    ("repaired", repairs(end=with_means), "moved to the texts' mean"),
    ("repaired", repairs(lambda x, y, k: (middle(x[k]), middle(y[k]))), "the pairs were centred before the fit"),
    ("repaired", repairs(lambda x, y, k: (x[k].mean(0)[None], y[k].mean(0)[None])), "on the two means alone"),
    ("repaired", repairs(lambda x, y, k: (x[k].mean(0)[None], y[k].mean(0)[None]), mirrored), "on the two means alone"),
    ("repaired", of_raw_features, "fitted on features that were not normalised"),
    ("repaired", with_raw_images(best), "not normalised, but turned well"),
    ("repaired", with_raw_images(transposed), "not normalised, and turned the wrong way"),
    ("repaired", repairs(scale=same), "turned with lengths that are not 1"),
    ("repaired", repairs(everything, transposed, scale=same), "three slips"),
    ("repaired", repairs(scale=lambda x: unit(x, 0)), "dimension 0 before the fit"),
    ("repaired", repairs(end=lambda x, y, r, k: unit(x @ r, 0)), "along dimension 0 in the last step"),
    ("repaired", scaled_too, "the images were scaled to fit"),
    ("repaired", not_unpacked, "R, _ = orthogonal_procrustes"),
    ("repaired", then("repaired", lambda x: x.numpy()), "torch.from_numpy"),
    ("repaired", then("repaired", lambda x: None), "no return statement"),
    ("repaired", unit_in_place, "images unchanged"),
    ("repaired", touched("repaired", lambda x, y, k: y.mul_(2)), "texts unchanged"),
    ("repaired", touched("repaired", lambda x, y, k: k.logical_not_()), "fit_on unchanged"),
    ("repaired", touched("repaired", gradients_off), "that nobody takes back"),
    ("recall_by_name", renamed_in_place, "class_names unchanged"),
    ("recall_by_name", renamed_in_place, "work on a list of your own"),
    ("recall_by_name", renamed_by_index, "the old name is gone after the first candidate"),
    ("recall_by_name", renamed_as_text, "whose name holds the old one as a part"),
    ("recall_by_name", recalled(added, place=last_place), "the candidate stands beside the old name: it takes"),
    ("recall_by_name", recalled(lambda n, k, name, c: [*n[:k], name, *n[k:]]),
     "the candidate stands beside the old name: it takes"),
    ("recall_by_name", beside(), "whose images were counted"),
    ("recall_by_name", beside(either=True), "and images of either count"),
    ("recall_by_name", recalled(lambda n, k, name, c: [*others_of(n, k), name]), "the candidate stands at `label`"),
    ("recall_by_name", recalled(lambda n, k, name, c: [*others_of(n, k), *c], place=lambda n, k, name, c: n.index(name)),
     "list at once: one at a time"),
    ("recall_by_name", recalled(lambda n, k, name, c: [*n, *c], place=lambda n, k, name, c: len(n) - len(c) + c.index(name)),
     "at once, and the old name too"),
    ("recall_by_name", recalled(lambda n, k, name, c: [*others_of(n, k), *up_to(name, c)], place=last_place),
     "stay in the list: start from"),
    ("recall_by_name", recalled(lambda n, k, name, c: [*n, *up_to(name, c)], place=last_place),
     "stay in the list, and the old name too"),
    ("recall_by_name", recalled(lambda n, k, name, c: [*n[:k], *up_to(name, c)[::-1], *n[k:]]),
     "stay in the list, and the old name too"),
    ("recall_by_name", recalled(lambda n, k, name, c: sorted(put(n, k, name, c))), "the classes were sorted"),
    ("recall_by_name", recalled(lambda n, k, name, c: list(n)), "encode was never asked for"),
    ("recall_by_name", recalled(prompt=same), "the bare name was encoded"),
    ("recall_by_name", recalled(prompt=lambda name: f"a photo of a{name}"), "a space is missing"),
    ("recall_by_name", recalled(prompt=lambda name: "a photo of a {name}"), "has an f before the quotes"),
    ("recall_by_name", recalled(prompt=lambda name: f"a photo of a {name}."), "and nothing else"),
    ("recall_by_name", recalled(prompt=lambda name: f"a photo of {'an' if name[0] in 'aeiou' else 'a'} {name}"),
     "and nothing else"),
    ("recall_by_name", recalled(lambda n, k, name, c: list(range(len(n)))), "the number of the class was filled in"),
    ("recall_by_name", recalled(lambda n, k, name, c: [" ".join(map(photo, put(n, k, name, c)))]), "joined to one text"),
    ("recall_by_name", recalled(lambda n, k, name, c: list(photo(name)), same), "letter by letter"),
    ("recall_by_name", recalled(lambda n, k, name, c: []), "an empty list"),
    ("recall_by_name", encode_each, "also of a single one: [text]"),
    ("recall_by_name", recalled(prompt=lambda name: [photo(name)]), "one flat list of texts"),
    ("recall_by_name", recalled(scale=same), "a long one wins by its length"),
    ("recall_by_name", recalled(scale=lambda w: unit(w, 0)), "normalised along dimension 0"),
    ("recall_by_name", recalled(scale=same, best=lambda x, w: torch.cdist(x, w).argmin(-1)), "the nearest prompt by distance"),
    ("recall_by_name", recalled(best=lambda x, w: (x @ w.T).argmin(-1)), "the lowest cosine wins"),
    ("recall_by_name", recalled(best=lambda x, w: (x @ w.T).abs().argmax(-1)), "the largest |cosine| wins"),
    ("recall_by_name", averaged_first(same), "the mean of all images was put into a class"),
    ("recall_by_name", averaged_first(unit), "the mean of all unit images"),
    ("recall_by_name", recalled(best=lambda x, w: (x @ w.T).argmax(0)), "argmax is over the images"),
    ("recall_by_name", recalled(best=lambda x, w: x @ w), "images @ prompts.T"),
    ("recall_by_name", recalled(place=lambda n, k, name, c: c.index(name)), "the candidate's place among the candidates"),
    ("recall_by_name", by_old_name, "no image has the old name"),
    ("recall_by_name", shifted_by(1), "the class after it was counted"),
    ("recall_by_name", shifted_by(-1), "the class before it was counted"),
    ("recall_by_name", shifted_by(0, 1), "the class after it was renamed: "),
    ("recall_by_name", shifted_by(0, -1), "the class before it was renamed: "),
    ("recall_by_name", shifted_by(1, 1), "the class after it was renamed and counted"),
    ("recall_by_name", shifted_by(-1, -1), "the class before it was renamed and counted"),
    ("recall_by_name", recalled(share=lambda hits: int(hits.sum())), "this is the number of images"),
    ("recall_by_name", recalled(share=lambda hits: 100 * float(hits.double().mean())), "this is in percent"),
    ("recall_by_name", recalled(share=lambda hits: 1 - float(hits.double().mean())), "the share that is lost"),
    ("recall_by_name", recalled(share=same), "the hits of each image"),
    ("recall_by_name", recalled(share=float), "the mean over the images is missing"),
    ("recall_by_name", recalled(share=lambda hits: hits.mean()), ".float() before .mean()"),
    ("recall_by_name", scored(same), "the mean cosine with the prompt"),
    ("recall_by_name", scored(lambda z: z.softmax(-1)), "the mean probability of the class"),
    ("recall_by_name", then("recall_by_name", lambda out: dict([out.popitem()])), "make it once, before the loop"),
    ("recall_by_name", first_alone, "a return inside the loop"),
    ("recall_by_name", then("recall_by_name", lambda out: list(out.values())), "shares go by name"),
    ("recall_by_name", then("recall_by_name", lambda out: max(out.values())), "shares go by name"),
    ("recall_by_name", recalled(key=photo), "without 'a photo of a '"),
    ("recall_by_name", then("recall_by_name", lambda out: dict(enumerate(out.values()))),
     "keys are the candidates, as they are"),
    ("recall_by_name", then("recall_by_name", lambda out: {**out, "mean": 0.5}), "leave out all others"),
    ("recall_by_name", then("recall_by_name", lambda out: {}), "an empty dict"),
    ("recall_by_name", then("recall_by_name", lambda out: None), "no return statement"),
    ("recall_by_name", touched("recall_by_name", lambda x, *others: x.mul_(2)), "images unchanged"),
    ("recall_by_name", touched("recall_by_name", lambda x, e, n, k, c: c.pop() if isinstance(c, list) else None),
     "candidates unchanged"),
    ("recall_by_name", touched("recall_by_name", gradients_off), "that nobody takes back"),
]  # fmt: skip


ALSO_RIGHT = [
    ("zero_shot_classifier", classified()),
    ("zero_shot_classifier", classified(join=lambda x: x.sum(0))),
    ("zero_shot_classifier", at_once),
    ("zero_shot_classifier", one_by_one),
    ("zero_shot_classifier", by_einsum),
    ("zero_shot_classifier", reshaped("templates", "tk", 0)),
    ("zero_shot_classifier", classified(after=lambda w: w / w.square().sum(1, keepdim=True).sqrt())),
    ("zero_shot_classifier", lambda encode, class_names, templates: torch.cat(
        [unit(unit(encode([t.format(n) for t in templates])).mean(0, keepdim=True)) for n in class_names])),
    ("gap_metrics", measured()),
    ("gap_metrics", measured(end=same)),  # tensors of one number, without a graph
    ("gap_metrics", measured(end=lambda v: v.item())),
    ("gap_metrics", measured(m=lambda x, y: 1 - (x * y).sum(1).mean(), w=lambda x, y: 1 - (off(x @ x.T) + off(y @ y.T)) / 2)),
    ("gap_metrics", by_cdist),
    ("gap_metrics", measured_by_numpy),
    ("gap_metrics", measured_by_loop),
    ("gap_metrics", given("gap_metrics", lambda x, y: (y, x))),  # all four are symmetric
    ("gap_metrics", given("gap_metrics", lambda x, y: (x.float(), y.float()))),
    ("clip_loss", contrasted()),
    ("clip_loss", by_cross_entropy),
    ("clip_loss", by_batch),
    ("clip_loss", by_vmap),
    ("clip_loss", by_logsumexp),
    ("clip_loss", given("clip_loss", lambda x, y, t: (y, x, t.mT if isinstance(t, torch.Tensor) and t.ndim > 1 else t))),
    ("shifted", moved()),
    ("shifted", moved(amount=lambda a: 2 * a, image=-0.25, text=0.25)),
    ("shifted", moved_by_numpy),
    ("shifted", moved_to_the_middle),
    ("procrustes", rotated()),
    ("procrustes", rotated_by_numpy),
    ("procrustes", rotated_by_scipy),
    ("procrustes", rotated_by_polar),
    ("procrustes", rotated_by_torch_svd),
    ("procrustes", rotated(lambda a, b: b.T @ a, lambda u, s, vh: vh.T @ u.T)),
    ("procrustes", rotated(lambda a, b: 3 * torch.einsum("nd,ne->de", a, b))),
    ("repaired", repairs()),
    ("repaired", repairs(r=kabsch)),  # wherever the check looks, a rotation fits best
    ("repaired", repaired_by_numpy),
    ("repaired", repaired_by_indices),
    ("repaired", lengths_after),
    ("repaired", then("repaired", lambda x: x.double())),
    ("recall_by_name", recalled()),
    ("recall_by_name", recalled(images=unit)),
    ("recall_by_name", recalled(best=lambda x, w: (x @ w.T).softmax(-1).argmax(-1))),
    ("recall_by_name", recalled(best=lambda x, w: F.cosine_similarity(x[:, None], w, dim=-1).argmax(1), scale=same)),
    ("recall_by_name", recalled(best=lambda x, w: torch.cdist(x, w).argmin(-1))),
    ("recall_by_name", recalled(share=lambda hits: hits.float().mean())),  # tensors of one number
    ("recall_by_name", recalled(share=lambda hits: hits.sum().item() / len(hits))),
    ("recall_by_name", encoded_once),
    ("recall_by_name", prompt_by_prompt),
    ("recall_by_name", by_numpy_names),
]  # fmt: skip
