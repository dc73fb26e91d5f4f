"""Lab 06: solutions, right variants, and known mistakes with the words that each must be told (see test_checks.py)."""

import contextlib
import copy
import inspect
import random

import numpy as np
import torch
import torch.nn.functional as F
from notebook_source import namespace
from torch import nn

from labkit.check import vgg as check  # noqa: F401 - read by test_checks.py
from labkit.features import capture

LAB = "06_vgg_svm"
SOLUTIONS = namespace(LAB, "count-parameters", "relu7", "one-pass", "choose-then-test", "same-svm", "epochs-of")
CHECKS = ["count_parameters", "relu7", "one_pass", "choose_then_test", "same_svm", "epochs_of"]
SIGNATURES = {name: inspect.signature(SOLUTIONS[name]) for name in CHECKS}


# count_parameters


def counted(conv=lambda i, o, k: o * (i * k * k + 1), linear=lambda i, o: o * (i + 1), pool=0):
    """A `count_parameters` by rules: channels or features in and out, and the side."""

    def f(layers):
        rules = {"conv": conv, "linear": linear, "pool": lambda: pool}
        return [n for kind, *shape in layers if (n := rules[kind](*shape)) is not None]

    return f


def totals(layers):
    counts = counted()(layers)
    return [sum(counts[: i + 1]) for i in range(len(counts))]


def emptied(layers):
    counts = []
    while layers:
        counts += counted()([layers.pop(0)])
    return counts


def outliving(layers, counts=[]):  # noqa: B006 - the mistake
    counts += counted()(layers)
    return counts


# relu7


def colours(numbers):
    return torch.tensor(numbers).reshape(3, 1, 1)


def standardised(images, mean, std):
    return (images.float().expand(-1, 3, -1, -1) / 255 - colours(mean)) / colours(std)


def evaluated(net):
    net.eval()


def put_back(net, modes):
    for m, mode in modes:
        m.training = mode


def deep(
    prepare=standardised, layers=5, scale=lambda z: F.normalize(z, dim=1), *, flat=lambda net, z: net.avgpool(z).flatten(1),
    evaluate=evaluated, restore=put_back, grad=torch.no_grad, safe=True, then=lambda net: None,
):  # fmt: skip
    """A `relu7` by rules: what goes in, after how many layers it is cut, what is done with the rows, and with the net."""

    def f(net, images, mean, std):
        modes = [(m, m.training) for m in net.modules()]
        try:
            evaluate(net)
            with grad():
                z = flat(net, net.features(prepare(images, mean, std)))
                z = scale(net.classifier[:layers](z))
        except Exception:
            if safe:
                restore(net, modes)
            raise
        restore(net, modes)
        then(net)
        return z

    return f


def pixels(rule):
    """A wrong `relu7`: rule (float pixels of three channels 0..255, mean, std) takes the place of the right one."""
    return deep(lambda images, mean, std: rule(images.float().expand(-1, 3, -1, -1), colours(mean), colours(std)))


def rows(scale):
    return deep(scale=scale)


def children_only(net, modes):
    """Modes of the net and its children, as they were; those of theirs follow their parents."""
    was = dict(modes)
    net.training = was[net]
    for child in net.children():
        child.train(was[child])


def dropout_off(net):
    for m in net.modules():
        if isinstance(m, nn.Dropout):
            m.eval()


def brightened(net, images, mean, std):
    z = SOLUTIONS["relu7"](net, images, mean, std)
    images += 1
    return z


def gradients_off(net, images, mean, std):
    torch.set_grad_enabled(False)
    return SOLUTIONS["relu7"](net, images, mean, std)


def quietly(name):
    """A wrong function: errors are swallowed."""

    def f(net, *args):
        with contextlib.suppress(Exception):
            return SOLUTIONS[name](net, *args)

    f.__signature__ = SIGNATURES[name]
    return f


def hooked_relu7(net, images, mean, std, *, remove=True):
    found = []
    handle = net.classifier[4].register_forward_hook(lambda m, i, o: found.append(o.clone()))
    modes = {m: m.training for m in net.modules()}
    try:
        net.eval()
        with torch.inference_mode():
            net((images / 255).repeat(1, 3, 1, 1).sub(colours(mean)).div(colours(std)))
    finally:
        for m, mode in modes.items():
            m.training = mode
        if remove:
            handle.remove()
    return found[0] / found[0].norm(dim=1, keepdim=True)


def hook_left(net, images, mean, std):
    return hooked_relu7(net, images, mean, std, remove=False)


# one_pass


def means(z, side):
    return F.adaptive_avg_pool2d(z, side).flatten(1)


def gridded(
    part=means, *, join=torch.cat, grad=torch.no_grad, vectors=lambda z, side: z, vector_sides=lambda sides: (1,),
    run=lambda net, x: net(x), read=iter, before=lambda net: None, key=lambda cut, side: (cut, side),
):  # fmt: skip
    """A `one_pass` by rules: what becomes of maps and vectors, how pieces are joined, and how the net runs."""

    def f(net, batches, cuts, sides):
        found = {}
        before(net)
        with grad(), capture(net, cuts) as maps:
            for x in read(batches):
                run(net, x)
                for cut in cuts:
                    z = maps[cut]
                    for side in sides if z.ndim == 4 else vector_sides(sides):
                        piece = part(z, side) if z.ndim == 4 else vectors(z, side)
                        found.setdefault(key(cut, side), []).append(piece)
        return {name: join(pieces) for name, pieces in found.items()}

    return f


def own_hooks(net, batches, cuts, sides, *, remove=True, safe=True, late=False, bind=True):
    """Hooks of one's own, with what goes wrong with them."""
    kept, handles = {}, []
    for cut in cuts:

        def hook(m, i, o, cut=cut):
            kept[cut] = o if late else o.clone()

        def unbound(m, i, o):
            kept[cut] = o.clone()  # noqa: B023 - the mistake

        handles.append(net.get_submodule(cut).register_forward_hook(hook if bind else unbound))
    found = {}
    try:
        with torch.no_grad():
            for x in batches:
                net(x)
                for name in cuts:
                    z = kept[name] if bind else kept[cuts[-1]]
                    for side in sides if z.ndim == 4 else (1,):
                        piece = means(z, side) if z.ndim == 4 else z
                        found.setdefault((name, side), []).append(piece)
    except Exception:
        if safe:
            for handle in handles:
                handle.remove()
        raise
    for handle in handles if remove else []:
        handle.remove()
    return {name: torch.cat(pieces) for name, pieces in found.items()}


def hooking(**rules):
    return lambda net, batches, cuts, sides: own_hooks(net, batches, cuts, sides, **rules)


def a_pass_for_each_cut(net, batches, cuts, sides):
    found = {}
    for cut in cuts:
        found |= SOLUTIONS["one_pass"](net, batches, [cut], sides)
    return found


def maps_collected(net, batches, cuts, sides):
    kept = {cut: [] for cut in cuts}
    with torch.no_grad(), capture(net, cuts) as maps:
        for x in batches:
            net(x)
            for cut in cuts:
                kept[cut].append(maps[cut])
    whole = {cut: torch.cat(pieces) for cut, pieces in kept.items()}
    return {
        (cut, side): means(z, side) if z.ndim == 4 else z
        for cut, z in whole.items()
        for side in (sides if z.ndim == 4 else [1])
    }


def put_into(mode):
    return gridded(before=lambda net: net.train(mode))


def all_hooks_cleared(net, batches, cuts, sides):
    found = SOLUTIONS["one_pass"](net, batches, cuts, sides)
    for m in net.modules():
        m._forward_hooks.clear()
    return found


def no_gradients_after(net, batches, cuts, sides):
    torch.set_grad_enabled(False)
    return SOLUTIONS["one_pass"](net, batches, cuts, sides)


def batches_scaled(net, batches, cuts, sides):
    found = SOLUTIONS["one_pass"](net, batches, cuts, sides)
    for x in batches:
        x *= 2
    return found


def swapped_cuts(net, batches, cuts, sides):
    found = SOLUTIONS["one_pass"](net, batches, cuts, sides)
    return {(cut, side): found[cuts[len(cuts) > 1 and cut == cuts[0]] if cut in cuts[:2] else cut, side] for cut, side in found}


def plain_cells(z, side):
    """Averages over cells that do not overlap: what does not fit is left out."""
    h, w = z.shape[2] // side, z.shape[3] // side
    return F.avg_pool2d(z, (h, w))[:, :, :side, :side].flatten(1)


def inputs_read(net, batches, cuts, sides):
    kept, found = {}, {}
    handles = [net.get_submodule(cut).register_forward_hook(lambda m, i, o, cut=cut: kept.update({cut: i[0].clone()}))
               for cut in cuts]  # fmt: skip
    with torch.no_grad():
        for x in batches:
            net(x)
            for cut, z in kept.items():
                for side in sides if z.ndim == 4 else (1,):
                    found.setdefault((cut, side), []).append(means(z, side) if z.ndim == 4 else z)
    for handle in handles:
        handle.remove()
    return {name: torch.cat(pieces) for name, pieces in found.items()}


# choose_then_test


def chosen(
    score=lambda folds, test: folds.mean(1), honest=lambda folds, test, arm: test[arm],
    over=lambda folds, test, arm: test.max() - test[arm], pick=lambda values: int(values.argmax()), result=lambda *three: three,
):  # fmt: skip
    """A `choose_then_test` by rules."""

    def f(folds, test):
        arm = pick(score(folds, test))
        return result(arm, float(honest(folds, test, arm)), float(over(folds, test, arm)))

    return f


def last_of_equals(values):
    return len(values) - 1 - int(values.flip(0).argmax())


def equals_by_test(folds, test):
    best = folds.mean(1)
    return torch.where(best == best.max(), test, -1.0)


def sorted_in_place(folds, test):
    answer = SOLUTIONS["choose_then_test"](folds, test)
    folds.copy_(folds.sort(1).values)
    return answer


# same_svm


def lengths(x):
    return x.norm(dim=1, keepdim=True)


def svm(u=lambda x, C, s: x / s, weight=lambda x, C, s: C * s**2):
    return lambda x, C, s: (u(x, C, s), weight(x, C, s))


def divided_in_place(x, C, s):
    x /= s
    return x, C * s**2


# epochs_of


def epochs(
    order=lambda n, g: torch.randperm(n, generator=g), shuffle=lambda n, g: torch.randperm(n, generator=g),
    each=lambda transform, images: torch.stack([transform(image) for image in images]), *,
    cut=lambda order, n_val: (order[n_val:], order[:n_val]), held=lambda transform, x: x, label=lambda y, rows: y[rows],
    result=lambda train, validation: (train, validation),
):  # fmt: skip
    """An `epochs_of` by rules: the split, the order of an epoch, and how images are transformed."""

    def f(x, y, n_val, transform, generator):
        mine, theirs = cut(order(len(x), generator), n_val)

        def train():
            chosen = mine[shuffle(len(mine), generator)]
            return each(transform, x[chosen]), label(y, chosen)

        return result(train, lambda: (held(transform, x[theirs]), label(y, theirs)))

    return f


def one_by_one(transform, images):
    return torch.stack([transform(image) for image in images])


def kept_for_all_epochs(x, y, n_val, transform, generator):
    train, validation = SOLUTIONS["epochs_of"](x, y, n_val, lambda image: image, generator)
    images, labels = train()
    images = one_by_one(transform, images)

    def shuffled():
        rows = torch.randperm(len(images), generator=generator)
        return images[rows], labels[rows]

    return shuffled, validation


def all_transformed(x, y, n_val, transform, generator):
    """Transforms all images in each epoch, validation images with them."""
    order = torch.randperm(len(x), generator=generator)

    def train():
        rows = order[n_val:][torch.randperm(len(x) - n_val, generator=generator)]
        return one_by_one(transform, x)[rows], y[rows]

    return train, lambda: (x[order[:n_val]], y[order[:n_val]])


def in_a_fixed_order(x, y, n_val, transform, generator):
    order = torch.randperm(len(x), generator=generator)
    return lambda: (one_by_one(transform, x[order[n_val:]]), y[order[n_val:]]), lambda: (x[order[:n_val]], y[order[:n_val]])


def validation_drawn_anew(x, y, n_val, transform, generator):
    train, _ = SOLUTIONS["epochs_of"](x, y, n_val, transform, generator)

    def validation():
        rows = torch.randperm(len(x), generator=generator)[:n_val]
        return x[rows], y[rows]

    return train, validation


def validation_shuffled(x, y, n_val, transform, generator):
    train, validation = SOLUTIONS["epochs_of"](x, y, n_val, transform, generator)

    def shuffled():
        rows = torch.randperm(n_val, generator=generator)
        return tuple(part[rows] for part in validation())

    return train, shuffled


def training_drawn_anew(x, y, n_val, transform, generator):
    _, validation = SOLUTIONS["epochs_of"](x, y, n_val, transform, generator)

    def train():
        rows = torch.randperm(len(x), generator=generator)[n_val:]
        return one_by_one(transform, x[rows]), y[rows]

    return train, validation


def accumulated(x, y, n_val, transform, generator):
    train, validation = SOLUTIONS["epochs_of"](x, y, n_val, lambda image: image, generator)
    images, labels = train()

    def again():
        nonlocal images
        images = one_by_one(transform, images)
        rows = torch.randperm(len(images), generator=generator)
        return images[rows], labels[rows]

    return again, validation


def written_into_x(x, y, n_val, transform, generator):
    order = torch.randperm(len(x), generator=generator)
    clean = x.clone()

    def train():
        rows = order[n_val:][torch.randperm(len(x) - n_val, generator=generator)]
        x[rows] = one_by_one(transform, clean[rows])
        return x[rows], y[rows]

    return train, lambda: (x[order[:n_val]], y[order[:n_val]])


def seeded_globally(x, y, n_val, transform, generator):
    torch.manual_seed(0)
    return SOLUTIONS["epochs_of"](x, y, n_val, transform, generator)


def by_numpy(n, generator):
    return torch.from_numpy(np.random.permutation(n))  # noqa: NPY002 - the mistake


def by_python(n, generator):
    return torch.tensor(random.sample(range(n), n))


def seeded_anew(n, generator):
    return torch.randperm(n, generator=generator.manual_seed(0))


def block(n, generator):
    return torch.arange(n).roll(int(torch.randint(n, (), generator=generator)))


def every_third(n, generator):
    """One of three groups comes first, in random order."""
    start = int(torch.randint(3, (), generator=generator))
    return torch.cat([torch.arange((start + i) % 3, n, 3) for i in range(3)])


def last_one_never(n, generator):
    """The last image always trains."""
    return torch.cat([torch.randperm(n - 1, generator=generator), torch.tensor([n - 1])])


MISTAKES = [
    ("count_parameters", counted(lambda i, o, k: o * i * k * k, lambda i, o: i * o), "the biases are missing"),
    ("count_parameters", counted(lambda i, o, k: o * i * k * k), "the biases are missing"),
    ("count_parameters", counted(linear=lambda i, o: i * o), "the biases are missing"),
    ("count_parameters", counted(lambda i, o, k: o * i * k * k + i, lambda i, o: i * o + i), "not for each input"),
    ("count_parameters", counted(lambda i, o, k: o * i * k * k + 1), "not one for the layer"),
    ("count_parameters", counted(lambda i, o, k: o * i * (k * k + 1)), "each pair of input and output"),
    ("count_parameters", counted(lambda i, o, k: o * (i * k + 1)), "not side\n"),
    ("count_parameters", counted(lambda i, o, k: o * i * k), "not side, and the biases are missing"),
    ("count_parameters", counted(lambda i, o, k: o * (i * 2 * k + 1)), "not 2 * side"),
    ("count_parameters", counted(lambda i, o, k: o * (k * k + 1)), "reaches through all input channels"),
    ("count_parameters", counted(lambda i, o, k: o * k * k), "weights of its own for each, and the biases"),
    ("count_parameters", counted(lambda i, o, k: i * k * k + 1), "one kernel for each output channel"),
    ("count_parameters", lambda layers: sum(counted()(layers)), "this may be the sum"),
    ("count_parameters", totals, "this is the running total"),
    ("count_parameters", counted(pool=None), "an entry in the list: 0"),
    ("count_parameters", counted(pool=1), "an entry in the list: 0"),
    ("count_parameters", lambda layers: [float(n) for n in counted()(layers)], "a count is whole"),
    ("count_parameters", lambda layers: (n for n in counted()(layers)), "return a list"),
    ("count_parameters", lambda layers: None, "no return statement"),
    ("count_parameters", lambda layers: counted()(layers)[:1], "one number a layer"),
    ("count_parameters", emptied, "by pop() or del"),
    ("count_parameters", outliving, "the list outlives the call"),
    ("relu7", pixels(lambda x, m, s: (x - m) / s), "so divide by 255 first"),
    ("relu7", pixels(lambda x, m, s: x), "pixels are 0..255, without mean and std"),
    ("relu7", pixels(lambda x, m, s: x / 255), "mean and std are missing"),
    ("relu7", pixels(lambda x, m, s: x / 255 - m), "nothing divided by std"),
    ("relu7", pixels(lambda x, m, s: x / 255 / s), "the mean was not subtracted"),
    ("relu7", pixels(lambda x, m, s: (x / 255 - m) / m), "divided by the mean"),
    ("relu7", pixels(lambda x, m, s: (x / 255 - m) * s), "multiplied by std"),
    ("relu7", pixels(lambda x, m, s: (x / 255 - s) / m), "mean and std are swapped"),
    ("relu7", pixels(lambda x, m, s: (x - m) / s / 255), "so 255 comes first"),
    ("relu7", pixels(lambda x, m, s: x / 255 / s - m), "subtracted after dividing by std"),
    ("relu7", pixels(lambda x, m, s: (x / 256 - m) / s), "white is 255"),
    ("relu7", pixels(lambda x, m, s: (x / 255 - m[0]) / s[0]), "the mean and std of red"),
    ("relu7", pixels(lambda x, m, s: (x / 255 - m.mean()) / s.mean()), "the average of mean and of std"),
    ("relu7", pixels(lambda x, m, s: (x / 255 - m.flip(0)) / s.flip(0)), "the order blue, green, red"),
    ("relu7", pixels(lambda x, m, s: (x / x.amax((1, 2, 3), keepdim=True) - m) / s), "its own largest pixel"),
    ("relu7", deep(lambda images, mean, std: images.float() / 255), "show it three times, by expand"),
    ("relu7", deep(lambda images, mean, std: images.expand(-1, 3, -1, -1)), "images are bytes"),
    ("relu7", deep(lambda images, mean, std: images.expand(-1, 3, -1, -1) / 255 - mean), "tensors of shape (3, 1, 1)"),
    ("relu7", deep(lambda images, mean, std: images.expand(-1, 3, -1, -1) / 255 - torch.tensor(mean)), "(3, 1, 1)"),
    ("relu7", deep(layers=2), "this is relu6"),
    ("relu7", deep(layers=3), "this is relu6"),
    ("relu7", deep(layers=1), "this is fc6"),
    ("relu7", deep(layers=4), "this is fc7 before its relu"),
    ("relu7", deep(layers=7), "this is the logits"),
    ("relu7", deep(layers=7, scale=lambda z: z), "this is the logits: net.classifier[:5] ends with layer 4, relu7; and rows"),
    ("relu7", deep(flat=lambda net, z: z.flatten(1)), "come net.avgpool and flatten(1)"),
    ("relu7", deep(flat=lambda net, z: net.avgpool(z)), "come net.avgpool and flatten(1)"),
    ("relu7", deep(flat=lambda net, z: z.mean((2, 3))), "come net.avgpool and flatten(1)"),
    ("relu7", rows(lambda z: z), "the rows are not of length 1"),
    ("relu7", rows(lambda z: F.normalize(z, dim=0)), "normalised over the batch"),
    ("relu7", rows(lambda z: F.normalize(z, p=1, dim=1)), "1-norm"),
    ("relu7", rows(lambda z: F.normalize(z, p=torch.inf, dim=1)), "the largest number of the row"),
    ("relu7", rows(lambda z: z / z.square().sum(1, keepdim=True)), "the squared length"),
    ("relu7", rows(lambda z: z / z.norm()), "the length of the whole batch"),
    ("relu7", rows(lambda z: F.normalize(z - z.mean(0), dim=1)), "the average row was subtracted"),
    ("relu7", rows(lambda z: F.normalize(z, dim=1).double()), "images.float() is float32"),
    ("relu7", rows(lambda z: F.normalize(z, dim=1).squeeze()), "shape (9,)"),
    ("relu7", rows(lambda z: None), "no return statement"),
    ("relu7", deep(evaluate=lambda net: None), "in training mode dropout draws"),
    ("relu7", deep(evaluate=dropout_off), "batch norm judges an image by its batch"),
    ("relu7", deep(evaluate=lambda net: net.classifier.eval()), "training mode in net.features"),
    ("relu7", deep(restore=lambda net, modes: None), "still in evaluation mode"),
    ("relu7", deep(restore=lambda net, modes: net.train()), "everything was put into training mode"),
    ("relu7", deep(restore=lambda net, modes: net.train(modes[0][1])), "sets all modules alike"),
    ("relu7", deep(restore=children_only), "only some modes were put back"),
    ("relu7", deep(safe=False), "they belong under `finally:`"),
    ("relu7", deep(grad=torch.enable_grad), "do not stop a pass from building it"),
    ("relu7", deep(grad=torch.enable_grad, scale=lambda z: F.normalize(z, dim=1).detach()), "do not stop a pass"),
    ("relu7", deep(then=lambda net: net.requires_grad_(False)), "rather than requires_grad_(False)"),
    ("relu7", deep(then=lambda net: net.classifier[0].bias.data.add_(1)), "written into the net"),
    ("relu7", gradients_off, "that nobody takes back"),
    ("relu7", hook_left, "remove the handle of each hook"),
    ("relu7", quietly("relu7"), "swallowed it"),
    ("relu7", brightened, "an operation in place"),
    ("one_pass", a_pass_for_each_cut, "read all cuts in the same pass"),
    ("one_pass", gridded(lambda z, side: z.mean((2, 3))), "side is ignored"),
    ("one_pass", gridded(lambda z, side: z.mean((2, 3)).repeat_interleave(side**2, 1)), "stands in every cell"),
    ("one_pass", gridded(lambda z, side: F.adaptive_max_pool2d(z, side).flatten(1)), "the largest value was taken"),
    ("one_pass", gridded(lambda z, side: means(z, side) * z.shape[2] * z.shape[3] / side**2), "summed over each cell"),
    ("one_pass", gridded(lambda z, side: F.adaptive_avg_pool2d(z, side).permute(0, 2, 3, 1).flatten(1)),
     "the cells come before the channels"),
    ("one_pass", gridded(lambda z, side: F.adaptive_avg_pool2d(z, side).mT.flatten(1)), "rows and columns of the grid"),
    ("one_pass", gridded(F.adaptive_avg_pool2d), "the cells are not flattened"),
    ("one_pass", gridded(lambda z, side: F.adaptive_avg_pool2d(z, side).mean(1).flatten(1)), "averaged over the channels"),
    ("one_pass", gridded(lambda z, side: F.avg_pool2d(z, side).flatten(1)), "not the pixels of a cell"),
    ("one_pass", gridded(plain_cells), "so that no pixel is left out"),
    ("one_pass", gridded(lambda z, side: z.flatten(1)), "the maps are whole"),
    ("one_pass", gridded(vector_sides=lambda sides: sides), "has no grid"),
    ("one_pass", gridded(vectors=means), "to one number a batch"),
    ("one_pass", gridded(vectors=lambda z, side: z.mean((2, 3))), "look at z.ndim"),
    ("one_pass", gridded(key=lambda cut, side: cut), "pieces of several cuts or sides were mixed"),
    ("one_pass", gridded(key=lambda cut, side: f"{cut}/{side}"), "the keys are pairs"),
    ("one_pass", gridded(join=lambda pieces: torch.cat(pieces[:-1])), "the last batch is lost"),
    ("one_pass", gridded(join=lambda pieces: pieces[-1]), "only the last batch was kept"),
    ("one_pass", gridded(join=lambda pieces: pieces[0]), "only the first batch was kept"),
    ("one_pass", gridded(join=list), "join the pieces of the batches"),
    ("one_pass", gridded(join=lambda pieces: torch.cat(pieces, 1)), "join the pieces of the batches"),
    ("one_pass", gridded(join=lambda pieces: torch.cat(pieces[::-1])), "the batches are in reverse order"),
    ("one_pass", gridded(join=lambda pieces: torch.cat([p for p in pieces for _ in "ab"])), "each image is there several"),
    ("one_pass", gridded(grad=torch.enable_grad), "detach() does not stop a pass"),
    ("one_pass", gridded(lambda z, side: means(z.detach(), side), grad=torch.enable_grad), "detach() does not stop a pass"),
    ("one_pass", gridded(run=lambda net, x: (net(x), net(x))), "read all cuts in the same pass"),
    ("one_pass", gridded(read=lambda batches: list(batches)[:-1]), "the last batch is lost"),
    ("one_pass", maps_collected, "average each at once"),
    ("one_pass", put_into(False), "the caller's choice"),
    ("one_pass", put_into(True), "the caller's choice"),
    ("one_pass", hooking(remove=False), "each handle that register_forward_hook returns"),
    ("one_pass", hooking(safe=False), "an error jumped over the lines"),
    ("one_pass", hooking(late=True), "works in place and overwrote"),
    ("one_pass", hooking(bind=False), "each cut with each side is a key"),
    ("one_pass", swapped_cuts, "bind it by a default argument"),
    ("one_pass", inputs_read, "what goes into the layer"),
    ("one_pass", all_hooks_cleared, "remove your own hooks only"),
    ("one_pass", no_gradients_after, "that nobody takes back"),
    ("one_pass", batches_scaled, "an operation in place on a batch"),
    ("one_pass", quietly("one_pass"), "swallowed it"),
    ("one_pass", lambda net, batches, cuts, sides: None, "no return statement"),
    ("choose_then_test", chosen(lambda folds, test: test), "best on the test images: choose by the folds"),
    ("choose_then_test", chosen(lambda folds, test: folds.amax(1)), "the best single fold: by chance"),
    ("choose_then_test", chosen(lambda folds, test: folds.amin(1)), "whose worst fold is best"),
    ("choose_then_test", chosen(lambda folds, test: folds.mean(0)), "averaged over the arms, dimension 0"),
    ("choose_then_test", chosen(lambda folds, test: -folds.mean(1)), "the lowest mean"),
    ("choose_then_test", chosen(lambda folds, test: folds, honest=lambda folds, test, arm: 0, over=lambda *three: 0),
     "counts through all of folds"),
    ("choose_then_test", chosen(lambda folds, test: folds.mean(1) - folds.std(1)), "random accuracies of 1 to 30 arms"),
    ("choose_then_test", chosen(lambda folds, test: folds.median(1).values), "random accuracies of 1 to 30 arms"),
    ("choose_then_test", chosen(lambda folds, test: folds.mean(1) + test), "random accuracies of 1 to 30 arms"),
    ("choose_then_test", chosen(pick=last_of_equals), "this is the last of equals"),
    ("choose_then_test", chosen(equals_by_test), "of equals the one that is best on the test"),
    ("choose_then_test", chosen(result=lambda arm, honest, over: (arm + 1, honest, over)), "arms are counted from 0"),
    ("choose_then_test", chosen(result=lambda arm, honest, over: (honest, arm, over)), "the order is arm, accuracy"),
    ("choose_then_test", chosen(result=lambda arm, honest, over: (arm, over, honest)), "the order is arm, accuracy"),
    ("choose_then_test", chosen(result=lambda arm, honest, over: (arm, honest)), "return all three"),
    ("choose_then_test", chosen(result=lambda *three: None), "no return statement"),
    ("choose_then_test", chosen(honest=lambda folds, test, arm: folds[arm].mean()), "by which it was chosen"),
    ("choose_then_test", chosen(honest=lambda folds, test, arm: test.max()), "this is the best accuracy on the test images"),
    ("choose_then_test", chosen(honest=lambda folds, test, arm: folds[arm].max()), "the chosen arm's best fold"),
    ("choose_then_test", chosen(honest=lambda folds, test, arm: test.mean()), "the mean of all arms"),
    ("choose_then_test", chosen(honest=lambda folds, test, arm: 100 * test[arm]), "this is in percent"),
    ("choose_then_test", chosen(over=lambda folds, test, arm: test[arm] - test.max()), "the sign is turned"),
    ("choose_then_test", chosen(over=lambda folds, test, arm: test.max() - folds[arm].mean()), "compared with the mean over"),
    ("choose_then_test", chosen(over=lambda folds, test, arm: folds[arm].mean() - test[arm]), "the mean over folds minus"),
    ("choose_then_test", chosen(over=lambda folds, test, arm: test[arm] - folds[arm].mean()), "minus the mean over folds"),
    ("choose_then_test", chosen(over=lambda folds, test, arm: folds.max() - test[arm]), "the best single fold minus"),
    ("choose_then_test", chosen(over=lambda folds, test, arm: test.max() / test[arm] - 1), "it is a difference"),
    ("choose_then_test", chosen(over=lambda folds, test, arm: test.max()), "subtract that of the chosen arm"),
    ("choose_then_test", chosen(over=lambda folds, test, arm: (test.max() - test[arm]).clamp(min=0.01)), "folds and test that"),
    ("choose_then_test", sorted_in_place, "an operation in place"),
    ("same_svm", svm(weight=lambda x, C, s: C), "C was left as it is"),
    ("same_svm", svm(weight=lambda x, C, s: C / s), "divided by s: u is shorter"),
    ("same_svm", svm(weight=lambda x, C, s: C * s), "multiplied by s once"),
    ("same_svm", svm(weight=lambda x, C, s: C / s**2), "divided by the square of s"),
    ("same_svm", svm(weight=lambda x, C, s: C * s**0.5), "multiplied by the root of s"),
    ("same_svm", svm(weight=lambda x, C, s: C * s**3), "multiplied by s three times"),
    ("same_svm", svm(weight=lambda x, C, s: C * s**2 / 2), "the 1/2 stands before both"),
    ("same_svm", svm(weight=lambda x, C, s: s**2), "C forgotten"),
    ("same_svm", svm(weight=lambda x, C, s: C), "C_u is too small: shorter features"),
    ("same_svm", svm(lambda x, C, s: x * s), "multiplied by s: u is shorter"),
    ("same_svm", svm(lambda x, C, s: x * s, lambda x, C, s: C / s**2), "multiplied by s: u is shorter"),
    ("same_svm", svm(lambda x, C, s: x / lengths(x)), "directions alone are left"),
    ("same_svm", svm(lambda x, C, s: x / lengths(x) / s), "by its own length and by s"),
    ("same_svm", svm(lambda x, C, s: x / lengths(x)), "u is no x / s, to which"),
    ("same_svm", svm(lambda x, C, s: x / lengths(x).mean()), "divided by the mean length of the rows"),
    ("same_svm", svm(lambda x, C, s: x / s**2), "divided by s twice"),
    ("same_svm", svm(lambda x, C, s: x / s**0.5), "divided by the root of s"),
    ("same_svm", svm(lambda x, C, s: (x - x.mean(0)) / s), "the mean was subtracted"),
    ("same_svm", svm(lambda x, C, s: x), "these are the features x themselves"),
    ("same_svm", lambda x, C, s: (C * s**2, x / s), "the pair is swapped"),
    ("same_svm", lambda x, C, s: x / s, "return both"),
    ("same_svm", lambda x, C, s: None, "no return statement"),
    ("same_svm", divided_in_place, "an operation in place"),
    ("epochs_of", epochs(held=lambda transform, x: one_by_one(transform, x)), "the mistake of the report"),
    ("epochs_of", epochs(held=lambda transform, x: transform(x)), "the mistake of the report"),
    ("epochs_of", all_transformed, "training images alone given to transform"),
    ("epochs_of", epochs(each=lambda transform, x: transform(x)), "a batch gets one and the same draw"),
    ("epochs_of", epochs(each=lambda transform, x: x), "the result of transform"),
    ("epochs_of", epochs(each=lambda transform, x: one_by_one(transform, one_by_one(transform, x))), "transformed again"),
    ("epochs_of", kept_for_all_epochs, "kept for all epochs"),
    ("epochs_of", accumulated, "start each epoch from the images in x"),
    ("epochs_of", in_a_fixed_order, "the order is drawn once and kept"),
    ("epochs_of", epochs(cut=lambda order, n_val: (order[n_val:].sort().values, order[:n_val]),
                         shuffle=lambda n, g: torch.arange(n)), "nothing is shuffled"),
    ("epochs_of", epochs(shuffle=seeded_anew), "or seeded anew"),
    ("epochs_of", epochs(order=lambda n, g: torch.arange(n)), "12 images in a row, from image 0 on"),
    ("epochs_of", epochs(order=lambda n, g: torch.arange(n), cut=lambda order, n_val: (order[:-n_val], order[-n_val:])),
     "12 images in a row, from image 28 on"),
    ("epochs_of", epochs(order=block), "12 images in a row"),
    ("epochs_of", epochs(order=every_third), "only some of all splits can come"),
    ("epochs_of", epochs(order=last_one_never), "leaves some images no chance"),
    ("epochs_of", epochs(order=seeded_anew), "the generator is seeded anew"),
    ("epochs_of", epochs(order=lambda n, g: torch.randperm(n, generator=torch.Generator().manual_seed(3))), "or not used"),
    ("epochs_of", epochs(cut=lambda order, n_val: (order, order[:n_val])), "validation images are trained on"),
    ("epochs_of", epochs(cut=lambda order, n_val: (order[: len(order) - n_val], order[:n_val])), "no image in both parts"),
    ("epochs_of", epochs(cut=lambda order, n_val: (order[:n_val], order[n_val:])), "n_val and the rest are swapped"),
    ("epochs_of", epochs(result=lambda train, validation: (validation, train)), "the two functions are swapped"),
    ("epochs_of", epochs(cut=lambda order, n_val: (order[n_val:-1], order[:n_val])), "some images are lost"),
    ("epochs_of", epochs(shuffle=lambda n, g: torch.randint(n, (n,), generator=g)), "one may come twice"),
    ("epochs_of", epochs(label=lambda y, rows: y[rows.sort().values]), "not in the order of the images"),
    ("epochs_of", epochs(label=lambda y, rows: y[: len(rows)]), "not in the order of the images"),
    ("epochs_of", validation_drawn_anew, "the split is drawn anew at each call"),
    ("epochs_of", validation_shuffled, "the order is drawn anew at each call"),
    ("epochs_of", training_drawn_anew, "draw it once, outside"),
    ("epochs_of", epochs(order=lambda n, g: torch.randperm(n)), "what is drawn comes from generator"),
    ("epochs_of", epochs(shuffle=lambda n, g: torch.randperm(n)), "what is drawn comes from generator"),
    ("epochs_of", epochs(order=by_numpy), "drawn from global random numbers"),
    ("epochs_of", epochs(shuffle=by_numpy), "drawn from global random numbers"),
    ("epochs_of", epochs(shuffle=by_python), "drawn from global random numbers"),
    ("epochs_of", seeded_globally, "global random numbers left alone"),
    ("epochs_of", written_into_x, "an assignment into x"),
    ("epochs_of", epochs(result=lambda train, validation: (train(), validation())), "the functions themselves"),
    ("epochs_of", epochs(result=lambda train, validation: None), "no return statement"),
    ("epochs_of", epochs(each=lambda transform, x: [transform(image) for image in x]), "join the images by torch.stack"),
    ("epochs_of", epochs(each=lambda transform, x: torch.cat([transform(image) for image in x])), "in a new first dimension"),
]  # fmt: skip


def by_modules(layers):
    kinds = {"conv": nn.Conv2d, "linear": nn.Linear, "pool": nn.Identity}
    with torch.device("meta"):
        return tuple(sum(p.numel() for p in kinds[kind](*shape).parameters()) for kind, *shape in layers)


def by_numpy_products(layers):
    return [np.prod(shape[:2]) * shape[2] ** 2 + shape[1] if kind == "conv" else np.prod(shape) + shape[1] if shape else 0
            for kind, *shape in layers]  # fmt: skip


def relu7_of_a_copy(net, images, mean, std):
    net = copy.deepcopy(net).eval()
    with torch.no_grad():
        x = (images / 255 - colours(mean)) / colours(std)  # one channel against three
        z = net.avgpool(net.features(x)).reshape(len(x), -1)
        for layer in list(net.classifier)[:5]:
            z = layer(z)
    return (z / z.pow(2).sum(1).sqrt()[:, None]).float()


@torch.no_grad()
def layer_by_layer(net, batches, cuts, sides):
    """No hooks: each layer is called, and its answer looked at."""
    leaves = [(name, m) for name, m in net.named_modules() if not list(m.children())]
    found = {}
    for x in batches:
        for name, m in leaves:
            x = m(x)
            if name in cuts:
                parts = {1: x.clone()} if x.ndim == 2 else {
                    side: F.adaptive_avg_pool2d(x, (side, side)).reshape(len(x), -1) for side in sides}  # fmt: skip
                for side, part in parts.items():
                    old = found.get((name, side))
                    found[name, side] = part if old is None else torch.cat([old, part])
    return found


def pooled_in_hooks(net, batches, cuts, sides):
    pieces = {}

    def hook(cut):
        def keep(m, i, o):
            for side in sides if o.dim() > 2 else [1]:
                z = F.adaptive_avg_pool2d(o, side) if o.dim() > 2 else o.clone()
                pieces.setdefault((cut, side), []).append(z.flatten(1))

        return keep

    with contextlib.ExitStack() as stack, torch.inference_mode():
        for cut in cuts:
            stack.callback(net.get_submodule(cut).register_forward_hook(hook(cut)).remove)
        for x in batches:
            net(x)
    return {key: torch.cat(parts).numpy() for key, parts in pieces.items()}


def by_loops(folds, test):
    best, arm = -1.0, None
    for i, row in enumerate(folds.tolist()):
        if sum(row) / len(row) > best:
            best, arm = sum(row) / len(row), i
    return [arm, test[arm].item(), max(test.tolist()) - test[arm].item()]


def sampled_by_torch(x, y, n_val, transform, generator):
    parts = torch.utils.data.random_split(range(len(x)), [len(x) - n_val, n_val], generator=generator)
    mine, theirs = (torch.tensor(list(part)) for part in parts)
    loader = torch.utils.data.DataLoader(mine, batch_size=None, shuffle=True, generator=generator)

    def train():
        rows = [int(i) for i in loader]
        return torch.cat([transform(x[i : i + 1]) for i in rows]), torch.tensor([int(y[i]) for i in rows])

    return train, lambda: (x[theirs].clone(), y[theirs].clone())


def by_mask(x, y, n_val, transform, generator):
    held = torch.rand(len(x), generator=generator).argsort() < n_val
    images, labels, validation = x[~held], y[~held], (x[held], y[held])

    class Epochs:
        def train(self):
            rows = torch.rand(len(images), generator=generator).argsort()
            batch = torch.empty_like(images)
            for i, row in enumerate(rows):
                batch[i] = transform(images[row])
            return [batch, labels[rows]]

        def held_out(self):
            return validation

    return Epochs().train, Epochs().held_out


ALSO_RIGHT = [
    ("count_parameters", counted()),
    ("count_parameters", by_modules),
    ("count_parameters", by_numpy_products),
    ("relu7", deep()),
    ("relu7", hooked_relu7),
    ("relu7", relu7_of_a_copy),
    ("one_pass", gridded()),
    ("one_pass", hooking()),
    ("one_pass", layer_by_layer),
    ("one_pass", pooled_in_hooks),
    ("one_pass", gridded(lambda z, side: F.adaptive_avg_pool2d(z, side), join=lambda pieces: torch.cat(pieces).flatten(1))),
    ("choose_then_test", chosen()),
    ("choose_then_test", by_loops),
    ("choose_then_test", lambda folds, test: (
        folds.sum(1).argmax(), test[folds.sum(1).argmax()], (test - test[folds.sum(1).argmax()]).max())),
    ("choose_then_test", chosen(lambda folds, test: folds.float().mean(-1))),
    ("same_svm", svm()),
    ("same_svm", lambda x, C, s: [(x.numpy() * (1 / s)), torch.tensor(C * s * s)]),
    ("epochs_of", epochs()),
    ("epochs_of", sampled_by_torch),
    ("epochs_of", by_mask),
]  # fmt: skip
