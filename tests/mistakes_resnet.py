"""Lab 01: solutions, right variants, and known mistakes with the words that each must be told (see test_checks.py)."""

import contextlib
import copy
import functools

import torch
from notebook_source import namespace
from torch import nn
from torch.nn.functional import relu

from labkit.check import resnet as check  # noqa: F401 - read by test_checks.py

LAB = "01_resnet_transfer"
SOLUTIONS = namespace(LAB, "train-only", "accuracy", "no-skip", "hooked-means", "residual-gradient", "lesion-drops")
CHECKS = ["train_only", "accuracy", "no_skip", "hooked_means", "residual_gradient", "lesion_drops"]


# train_only


def within(name, parts):
    return any(name == part or name.startswith(part + ".") for part in parts)


def freezing(free=within, *, modes=within, frozen=lambda m, p: True, returns=None, then=None):
    """A `train_only` by rules: names that are free, modules in training mode, parameters that freezing reaches."""

    def f(net, parts):
        for module_name, module in net.named_modules():
            for name, parameter in module.named_parameters(module_name, recurse=False):
                if frozen(module, parameter):
                    parameter.requires_grad = free(name, parts)
        for name, module in net.named_modules():
            module.training = modes(name, parts)
        if then:
            then(net, parts)
        trainable = [parameter for parameter in net.parameters() if parameter.requires_grad]
        return returns(net, parts, trainable) if returns else trainable

    return f


def after(change):
    """A wrong `train_only`: the right one, and then a change of the net."""
    return freezing(then=change)


def only_gradients(net, parts):
    net.requires_grad_(False)
    for name in parts:
        net.get_submodule(name).requires_grad_(True)
    return [parameter for parameter in net.parameters() if parameter.requires_grad]


def all_in_evaluation(net, parts):
    trainable = only_gradients(net, parts)
    net.eval()
    return trainable


def by_getattr(net, parts):
    net.eval().requires_grad_(False)
    for name in parts:
        getattr(net, name).train().requires_grad_(True)
    return [parameter for parameter in net.parameters() if parameter.requires_grad]


def only_batch_norm_in_evaluation(net, parts):
    for name, module in net.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train(within(name, parts))
        elif isinstance(module, nn.Dropout):
            module.train()


def others_frozen(net, parts):
    """Freezes what is not named, but frees nothing."""
    net.eval()
    for name in parts:
        net.get_submodule(name).train()
    for name, parameter in net.named_parameters():
        if not within(name, parts):
            parameter.requires_grad = False
    return [parameter for parameter in net.parameters() if parameter.requires_grad]


def never_frozen(net, parts):
    net.eval()
    for name in parts:
        net.get_submodule(name).train().requires_grad_(True)
    return [p for name, p in net.named_parameters() if within(name, parts)]


def collected(net, parts, trainable):
    return [parameter for name in parts for parameter in net.get_submodule(name).parameters()]


def last_part(net, parts, trainable):
    return list(net.get_submodule(parts[-1]).parameters())


def part_left_in_evaluation(net, parts):
    """Puts into evaluation mode what is frozen, and leaves the parts in the mode that they had."""
    for name, module in net.named_modules():
        if not within(name, parts):
            module.training = False
    return only_gradients(net, parts)


def checked(f):
    """A variant that raises an error for a name that the net does not have."""

    @functools.wraps(f)
    def g(net, parts):
        for name in parts:
            net.get_submodule(name)
        return f(net, parts)

    return g


# accuracy


def score(
    total=lambda right, sizes: sum(right) / sum(sizes), *, hit=lambda z, y: int((z.argmax(1) == y).sum()), restore=None,
    grad=torch.no_grad, safe=True, evaluate=lambda net: net.eval(), read=iter,
):  # fmt: skip
    """A wrong `accuracy`: rules take the place of the right ones."""

    def f(net, batches):
        was, modes = net.training, [(m, m.training) for m in net.modules()]

        def put_back():
            if restore:
                restore(net, was)
            else:
                for m, mode in modes:
                    m.training = mode

        right, sizes = [], []
        try:
            evaluate(net)
            with grad():
                for x, y in read(batches):
                    right.append(hit(net(x), y))
                    sizes.append(len(y))
        except Exception:
            if safe:
                put_back()
            raise
        put_back()
        return total(right, sizes)

    return f


def direct_children(net, was):
    """Modes of children of the net alone, as they were before net.eval(); theirs are lost."""
    net.training = was
    for child in net.children():
        child.training = bool(was)


def swallowed(net, batches):
    with contextlib.suppress(Exception):
        return SOLUTIONS["accuracy"](net, batches)


def by_length(net, batches):
    return SOLUTIONS["accuracy"](net, [batches[i] for i in range(len(batches))])


def read_twice(net, batches):
    n = sum(len(y) for _, y in batches)
    return SOLUTIONS["accuracy"](net, batches) if n else 0.0


def gradients_off(net, batches):
    torch.set_grad_enabled(False)
    return SOLUTIONS["accuracy"](net, batches)


def frozen_for_good(net, batches):
    net.requires_grad_(False)
    return SOLUTIONS["accuracy"](net, batches)


# no_skip


def branch(block, x, *, act=relu, norm=True, last_norm=True):
    """F(x), with parts left out."""
    norms = [block.bn1, block.bn2] + ([block.bn3] if hasattr(block, "bn3") else [])
    convs = [block.conv1, block.conv2] + ([block.conv3] if hasattr(block, "conv3") else [])
    for i, (conv, bn) in enumerate(zip(convs, norms, strict=True)):
        x, last = conv(x), i == len(norms) - 1
        x = x if not norm or (last and not last_norm) else bn(x)
        x = x if last else act(x)
    return x


def shortcut(block, x):
    return block.downsample(x) if block.downsample else x


def norm_after_relu(block, x):
    out = block.bn1(relu(block.conv1(x)))
    out = block.bn2(relu(block.conv2(out)))
    return relu(block.bn3(relu(block.conv3(out)))) if hasattr(block, "conv3") else relu(out)


def only_identity_removed(block, x):
    return block(x) if block.downsample else relu(branch(block, x))


def bottleneck_only(block, x):
    out = relu(block.bn2(block.conv2(relu(block.bn1(block.conv1(x))))))
    return relu(block.bn3(block.conv3(out)))


def basic_only(block, x):
    return relu(block.bn2(block.conv2(relu(block.bn1(block.conv1(x))))))


def downsample_lost(block, x):
    out = relu(branch(block, x))
    block.downsample = None
    return out


def projection_zeroed(block, x):
    if block.downsample:
        block.downsample[1].weight.data.zero_()
        block.downsample[1].bias.data.zero_()
        return block(x)
    return relu(branch(block, x))


def forward_replaced(block, x):
    block.forward = lambda x: relu(branch(block, x))
    return block(x)


def hook_left(block, x):
    out = relu(branch(block, x))
    block.relu.register_forward_hook(lambda m, i, o: None)
    return out


def relu_on_x(block, x):
    out = relu(branch(block, x))
    block.relu(x)
    return out


def evaluated(block, x):
    return relu(branch(block.eval(), x))


def statistics_kept(block, x):
    return relu(branch(copy.deepcopy(block).eval(), x))


# hooked_means


def reading(
    reduce=lambda o: o.mean((2, 3)), join=torch.cat, *, picks=lambda i, o: o, late=False, grad=torch.no_grad, safe=True,
    remove=True, answer=lambda piece: None, in_front=False, read=iter, run=lambda net, x: net(x),
):  # fmt: skip
    """A wrong `hooked_means`: rules take the place of the right ones."""

    def f(net, layers, batches):
        kept, handles = {name: [] for name in layers}, []

        def add(name):
            def hook(m, i, o):
                piece = picks(i[0], o)
                piece = piece if late else reduce(piece)
                kept[name].insert(0 if in_front else len(kept[name]), piece)
                return answer(piece)

            handles.append(net.get_submodule(name).register_forward_hook(hook))

        for name in layers:
            add(name)
        try:
            with grad():
                for x in read(batches):
                    run(net, x)
        except Exception:
            if safe:
                for handle in handles:
                    handle.remove()
            raise
        for handle in handles if remove else []:
            handle.remove()
        return {name: join([reduce(piece) for piece in kept[name]] if late else kept[name]) for name in layers}

    return f


def late_binding(net, layers, batches):
    kept, handles = {name: [] for name in layers}, []
    for name in layers:
        handles.append(net.get_submodule(name).register_forward_hook(lambda m, i, o: kept[name].append(o.mean((2, 3)))))  # noqa: B023
    with torch.no_grad():
        for x in batches:
            net(x)
    for handle in handles:
        handle.remove()
    return {name: torch.cat(parts) for name, parts in kept.items()}


def late_binding_of_the_key(net, layers, batches):
    kept, handles = {}, []
    for name in layers:

        def hook(m, i, o):
            kept.setdefault(name, []).append(o.mean((2, 3)).sum(1, keepdim=True))  # noqa: B023

        handles.append(net.get_submodule(name).register_forward_hook(hook))
    with torch.no_grad():
        for x in batches:
            net(x)
    for handle in handles:
        handle.remove()
    return {name: torch.cat(parts) for name, parts in kept.items()}


def all_like_the_last(net, layers, batches):
    means = SOLUTIONS["hooked_means"](net, layers, batches)
    return dict.fromkeys(layers, means[layers[-1]])


def a_pass_for_each_layer(net, layers, batches):
    batches = list(batches)
    return {name: SOLUTIONS["hooked_means"](net, [name], batches)[name] for name in layers}


def read_for_each_layer(net, layers, batches):
    return {name: SOLUTIONS["hooked_means"](net, [name], batches)[name] for name in layers}


def put_into(mode):
    def f(net, layers, batches):
        net.train(mode)
        return SOLUTIONS["hooked_means"](net, layers, batches)

    return f


def all_hooks_cleared(net, layers, batches):
    means = SOLUTIONS["hooked_means"](net, layers, batches)
    for m in net.modules():
        m._forward_hooks.clear()
    return means


def dots_by_children(net, layers, batches):
    children = dict(net.named_children())
    for name in layers:
        children[name]
    return SOLUTIONS["hooked_means"](net, layers, batches)


def stops_quietly(net, layers, batches):
    with contextlib.suppress(Exception):
        return SOLUTIONS["hooked_means"](net, layers, batches)


# residual_gradient


def rows(p, jacobian):
    return torch.einsum("bi,bij->bj", p, jacobian)


def backwards(rule):
    """A wrong `residual_gradient`: rule (upstream, mask, jacobian, x, f)."""
    return lambda x, f, jacobian, upstream: rule(upstream, (f + x > 0).double(), jacobian, x, f)


def mask_written_into_upstream(x, f, jacobian, upstream):
    upstream[f + x <= 0] = 0
    return upstream + rows(upstream, jacobian)


# lesion_drops


def signs(labels, intact, lesioned):
    return (intact == labels).double() - (lesioned == labels).double()


def costs(drop=lambda d, y, a, b: d.mean(1), error=lambda d, y, a, b: d.std(1) / len(y) ** 0.5, pair=lambda *both: both):
    """A wrong `lesion_drops`: drop and error (differences, labels, intact, lesioned) take the place of the right ones."""
    return lambda labels, intact, lesioned: pair(*(
        rule(signs(labels, intact, lesioned), labels, intact, lesioned) for rule in (drop, error)))  # fmt: skip


def shares(y, a, b):
    return (a == y).double().mean(), (b == y).double().mean(1)


def spread(p):
    return p * (1 - p)


def in_place(labels, intact, lesioned):
    intact -= labels
    lesioned -= labels
    return SOLUTIONS["lesion_drops"](0 * labels, intact, lesioned)


def of_truth_values(labels, intact, lesioned):
    difference = (intact == labels) - (lesioned == labels)
    return difference.double().mean(1), difference.double().std(1) / len(labels) ** 0.5


def of_bytes(labels, intact, lesioned):
    difference = ((intact == labels).byte() - (lesioned == labels).byte()).double()
    return difference.mean(1), difference.std(1) / len(labels) ** 0.5


def of_integers(labels, intact, lesioned):
    difference = (intact == labels).long() - (lesioned == labels).long()
    return difference.sum(1) / len(labels), difference.std(1) / len(labels) ** 0.5


def mean_of_integers(labels, intact, lesioned):
    difference = (intact == labels).long() - (lesioned == labels).long()
    return difference.mean(1), difference.double().std(1) / len(labels) ** 0.5


MISTAKES = [
    ("train_only", checked(only_gradients), "requires_grad stops gradients only"),
    ("train_only", after(lambda net, parts: net.train()), "call no net.train() after that"),
    ("train_only", checked(all_in_evaluation), "the parts train: their own batch norm takes new statistics"),
    ("train_only", checked(part_left_in_evaluation), "also if the net came in evaluation mode"),
    ("train_only", after(only_batch_norm_in_evaluation), "frozen dropout would go on"),
    ("train_only", checked(freezing(lambda name, parts: any(part in name for part in parts))), "names that begin alike"),
    ("train_only", checked(freezing(lambda name, parts: name in parts)), "Parameters are called 'fc.weight', parts 'fc'"),
    ("train_only", checked(freezing(lambda name, parts: name.split(".")[0] in parts)), "not what is before the first dot"),
    ("train_only", by_getattr, "follows the dots, getattr does not"),
    ("train_only", checked(others_frozen), "a part may have been frozen before"),
    ("train_only", checked(never_frozen), "these are all parameters of the net"),
    ("train_only", freezing(frozen=lambda m, p: not isinstance(m, nn.BatchNorm2d)), "batch norm has parameters as well"),
    ("train_only", freezing(returns=lambda net, parts, t: list(net.parameters())), "these are all parameters of the net"),
    ("train_only", freezing(returns=lambda net, parts, t: (p for p in t)), "return a list"),
    ("train_only", freezing(returns=lambda net, parts, t: [n for n, _ in net.named_parameters()]), "these are names"),
    ("train_only", freezing(returns=lambda net, parts, t: list(net.named_parameters())), "gives pairs"),
    ("train_only", freezing(returns=lambda net, parts, t: [copy.deepcopy(p) for p in t]), "no copies"),
    ("train_only", freezing(returns=lambda net, parts, t: None), "no return statement"),
    ("train_only", freezing(returns=collected), "parts overlap"),
    ("train_only", freezing(returns=last_part), "missing from the list"),
    ("train_only", freezing(), "with a name that matches nothing"),
    ("accuracy", score(lambda right, sizes: sum(r / n for r, n in zip(right, sizes, strict=True)) / len(sizes)),
     "the mean of the batches' accuracies"),
    ("accuracy", score(lambda right, sizes: sum(r / n for r, n in zip(right, sizes, strict=True))), "accuracies were added"),
    ("accuracy", score(lambda right, sizes: 100 * sum(right) / sum(sizes)), "this is in percent"),
    ("accuracy", score(lambda right, sizes: float(sum(right))), "divide by the number of all"),
    ("accuracy", score(lambda right, sizes: sum(right) / (len(sizes) * sizes[0])), "the last batch is smaller"),
    ("accuracy", score(lambda right, sizes: sum(right) / len(sizes)), "the number of batches or the size of the last one"),
    ("accuracy", score(lambda right, sizes: right[-1] / sizes[-1]), "only the last batch"),
    ("accuracy", score(lambda right, sizes: torch.tensor(sum(right) / sum(sizes))), "take the number out of the tensor"),
    ("accuracy", score(hit=lambda z, y: int((z.argmax(0) == y).sum())), "in dimension 1"),
    ("accuracy", score(hit=lambda z, y: int((z.argmax() == y).sum())), "argmax without a dimension"),
    ("accuracy", score(hit=lambda z, y: int((z.max(1) == y).sum())), "take argmax(1)"),
    ("accuracy", score(hit=lambda z, y: (z.argmax(1) == y).mean()), "truth values have no mean"),
    ("accuracy", score(evaluate=lambda net: None), "training mode dropout makes the number random"),
    ("accuracy", score(restore=lambda net, was: None), "everything is still in evaluation mode"),
    ("accuracy", score(restore=lambda net, was: net.train()), "everything was put into training mode"),
    ("accuracy", score(restore=lambda net, was: net.train(was)), "sets all modules alike"),
    ("accuracy", score(restore=direct_children), "only some modes were put back"),
    ("accuracy", score(safe=False), "they belong under `finally:`"),
    ("accuracy", score(grad=torch.enable_grad), "evaluation mode does not stop gradients"),
    ("accuracy", gradients_off, "that nobody takes back"),
    ("accuracy", frozen_for_good, "torch.no_grad() rather than requires_grad_(False)"),
    ("accuracy", by_length, "batches may be readable only once"),
    ("accuracy", read_twice, "batches may be readable only once"),
    ("accuracy", swallowed, "swallowed it"),
    ("no_skip", lambda block, x: block(x), "the shortcut is still added"),
    ("no_skip", only_identity_removed, "the projection in downsample is a shortcut, too"),
    ("no_skip", lambda block, x: branch(block, x), "the last relu is missing"),
    ("no_skip", lambda block, x: relu(branch(block, x, act=lambda out: out)), "all relus but the last are missing"),
    ("no_skip", lambda block, x: relu(branch(block, x, last_norm=False)), "bn3 is missing"),
    ("no_skip", lambda block, x: relu(branch(block, x, norm=False)), "the batch norms are missing"),
    ("no_skip", norm_after_relu, "batch norm comes first"),
    ("no_skip", lambda block, x: relu(branch(block, x)) + shortcut(block, x), "added after the last relu"),
    ("no_skip", lambda block, x: block(x) - shortcut(block, x), "subtracted from the block's output"),
    ("no_skip", lambda block, x: relu(block(x) - shortcut(block, x)), "and relu taken again"),
    ("no_skip", lambda block, x: relu(block(x) - x), "x itself is no shortcut"),
    ("no_skip", lambda block, x: relu(branch(block, x) - shortcut(block, x)), "the shortcut is subtracted"),
    ("no_skip", lambda block, x: relu(shortcut(block, x)), "F was left out and the shortcut kept"),
    ("no_skip", lambda block, x: relu(branch(block, x) + block.downsample(x)), "downsample is None where"),
    ("no_skip", bottleneck_only, "a BasicBlock has two convolutions"),
    ("no_skip", basic_only, "a Bottleneck has a third pair"),
    ("no_skip", downsample_lost, "taken out of the block for good"),
    ("no_skip", projection_zeroed, "a weight was set"),
    ("no_skip", forward_replaced, "block.forward was replaced"),
    ("no_skip", hook_left, "what you replace or hook must be put back"),
    ("no_skip", relu_on_x, "an operation in place on x"),
    ("no_skip", evaluated, "no .eval()"),
    ("no_skip", statistics_kept, "the batch norms were in evaluation mode"),
    ("hooked_means", reading(remove=False), "each handle that register_forward_hook returns"),
    ("hooked_means", reading(safe=False), "they belong under `finally:`"),
    ("hooked_means", late_binding, "Bind it by a default argument"),
    ("hooked_means", late_binding_of_the_key, "Bind it by a default argument"),
    ("hooked_means", all_like_the_last, "all hooks use the last name"),
    ("hooked_means", reading(picks=lambda i, o: i), "what goes into the layer"),
    ("hooked_means", reading(lambda o: o.flatten(1)), "the maps were flattened"),
    ("hooked_means", reading(lambda o: o.amax((2, 3))), "the largest value was taken"),
    ("hooked_means", reading(lambda o: o.sum((2, 3))), "summed over the positions"),
    ("hooked_means", reading(lambda o: o.mean((1, 2, 3))), "averaged over the channels, too"),
    ("hooked_means", reading(lambda o: o.mean((0, 2, 3))[None]), "keep a row for each image"),
    ("hooked_means", reading(lambda o: o.mean(2)), "only one of the two directions"),
    ("hooked_means", reading(join=lambda parts: parts[-1]), "only the last batch was kept"),
    ("hooked_means", reading(join=list), "join the pieces of the batches"),
    ("hooked_means", reading(in_front=True), "the batches are in reverse order"),
    ("hooked_means", reading(late=True), "works in place and overwrote the output"),
    ("hooked_means", reading(grad=torch.enable_grad), "evaluation mode and detach() do not stop"),
    ("hooked_means", reading(lambda o: o.detach().mean((2, 3)), grad=torch.enable_grad), "detach() do not stop"),
    ("hooked_means", reading(answer=lambda piece: piece), "replaces the layer's output"),
    ("hooked_means", a_pass_for_each_layer, "read all layers in the same pass"),
    ("hooked_means", reading(run=lambda net, x: (net(x), net(x))), "each image is there several times"),
    ("hooked_means", read_for_each_layer, "batches may be readable only once"),
    ("hooked_means", put_into(False), "the caller's choice"),
    ("hooked_means", put_into(True), "the caller's choice"),
    ("hooked_means", all_hooks_cleared, "remove your own hooks only"),
    ("hooked_means", dots_by_children, "a layer's name may hold dots"),
    ("hooked_means", stops_quietly, "swallowed it"),
    ("residual_gradient", backwards(lambda g, on, j, x, f: g + rows(g, j)), "the relu's mask is missing"),
    ("residual_gradient", backwards(lambda g, on, j, x, f: g * (f > 0) + rows(g * (f > 0), j)), "the mask is that of F(x)"),
    ("residual_gradient", backwards(lambda g, on, j, x, f: g * (x > 0) + rows(g * (x > 0), j)), "the mask is that of x"),
    ("residual_gradient", backwards(lambda g, on, j, x, f: g + rows(g * on, j)), "on the way through F only"),
    ("residual_gradient", backwards(lambda g, on, j, x, f: g * on + rows(g, j)), "on the identity only"),
    ("residual_gradient", backwards(lambda g, on, j, x, f: on * (g + rows(g, j))), "applied at the end"),
    ("residual_gradient", backwards(lambda g, on, j, x, f: g * on + rows(g * on, j.mT)), "the wrong way round"),
    ("residual_gradient", backwards(lambda g, on, j, x, f: rows(g * on, j)), "the gradient of a plain net"),
    ("residual_gradient", backwards(lambda g, on, j, x, f: g * on), "the way through F is missing"),
    ("residual_gradient", backwards(lambda g, on, j, x, f: rows(g * on, j) * x), "F'(x) was multiplied with x"),
    ("residual_gradient", backwards(lambda g, on, j, x, f: g * on * x + rows(g * on, j)), "derivative is 1, not x"),
    ("residual_gradient", backwards(lambda g, on, j, x, f: g * on * (1 + j.diagonal(dim1=1, dim2=2))), "only the diagonal"),
    ("residual_gradient", backwards(lambda g, on, j, x, f: on + rows(on, j)), "upstream is missing"),
    ("residual_gradient", backwards(lambda g, on, j, x, f: g.relu() + rows(g.relu(), j)), "the mask is that of upstream"),
    ("residual_gradient", backwards(lambda g, on, j, x, f: g.relu() * on + rows(g.relu() * on, j)), "guided backpropagation"),
    ("residual_gradient", backwards(lambda g, on, j, x, f: g * (f + x).relu() + rows(g * (f + x).relu(), j)), "is 1 or 0"),
    ("residual_gradient", backwards(lambda g, on, j, x, f: (g * on + rows(g * on, j)).sum(0)), "summed over the batch"),
    ("residual_gradient", backwards(lambda g, on, j, x, f: (g * on + rows(g * on, j)) / len(x)), "averaged over the batch"),
    ("residual_gradient", mask_written_into_upstream, "an operation in place"),
    ("residual_gradient", backwards(lambda g, on, j, x, f: (g * on + rows(g * on, j)).squeeze()), "squeezed away"),
    ("lesion_drops", costs(lambda d, y, a, b: -d.mean(1)), "the sign is turned"),
    ("lesion_drops", costs(lambda d, y, a, b: 100 * d.mean(1)), "this is in percent"),
    ("lesion_drops", costs(lambda d, y, a, b: d.sum(1)), "this is a number of images"),
    ("lesion_drops", costs(lambda d, y, a, b: shares(y, a, b)[1]), "the accuracy with the lesion"),
    ("lesion_drops", costs(lambda d, y, a, b: (a != b).double().mean(1)), "the share of predictions that changed"),
    ("lesion_drops", costs(lambda d, y, a, b: d.clamp(min=0).mean(1)), "only what was lost was counted"),
    ("lesion_drops", costs(lambda d, y, a, b: d.abs().mean(1)), "-1 and 1 cancel"),
    ("lesion_drops", costs(lambda d, y, a, b: d.mean(1) / shares(y, a, b)[0]), "relative to the whole net's accuracy"),
    ("lesion_drops", costs(lambda d, y, a, b: d.mean(0)), "images are dimension 1"),
    ("lesion_drops", costs(lambda d, y, a, b: d.mean()), "averaged over the lesions"),
    ("lesion_drops", costs(error=lambda d, y, a, b: (sum(spread(p) for p in shares(y, a, b)) / len(y)).sqrt()),
     "two separate samples"),
    ("lesion_drops", costs(error=lambda d, y, a, b: (spread(shares(y, a, b)[1]) / len(y)).sqrt()), "the error of one accuracy"),
    ("lesion_drops", costs(error=lambda d, y, a, b: (spread(d.mean(1)) / len(y)).sqrt()), "a root of a negative number"),
    ("lesion_drops", costs(error=lambda d, y, a, b: d.std(1, correction=0) / len(y) ** 0.5), "the variance was divided by N"),
    ("lesion_drops", costs(error=lambda d, y, a, b: d.std(1) / (len(y) - 1) ** 0.5), "N - 1 was used twice"),
    ("lesion_drops", costs(error=lambda d, y, a, b: d.std(1)), "the standard deviation of one difference"),
    ("lesion_drops", costs(error=lambda d, y, a, b: d.var(1)), "the variance of the differences"),
    ("lesion_drops", costs(error=lambda d, y, a, b: d.var(1) / len(y)), "the variance of the mean"),
    ("lesion_drops", costs(error=lambda d, y, a, b: d.std(1) / len(y)), "divided by N: it is the root"),
    ("lesion_drops", costs(error=lambda d, y, a, b: d.std(1) / len(b) ** 0.5), "the root of the number of lesions"),
    ("lesion_drops", costs(error=lambda d, y, a, b: d.std(0) / len(y) ** 0.5), "the spread over the lesions"),
    ("lesion_drops", costs(error=lambda d, y, a, b: 1.96 * d.std(1) / len(y) ** 0.5), "half a 95 % interval"),
    ("lesion_drops", costs(pair=lambda drop, error: (error, drop)), "the pair is swapped"),
    ("lesion_drops", costs(pair=lambda drop, error: drop), "return both"),
    ("lesion_drops", costs(pair=lambda drop, error: (drop.squeeze(), error.squeeze())), "took the lesions away"),
    ("lesion_drops", in_place, "an operation in place"),
    ("lesion_drops", of_truth_values, "torch does not subtract truth values"),
    ("lesion_drops", of_bytes, "a byte has no -1"),
    ("lesion_drops", of_integers, "a spread is taken of floating numbers"),
    ("lesion_drops", mean_of_integers, "a mean is taken of floating numbers"),
]  # fmt: skip


def module_by_module(net, parts):
    chosen = {m for name in parts for m in net.get_submodule(name).modules()}
    for m in net.modules():
        m.training = m in chosen
        for parameter in m.parameters(recurse=False):
            parameter.requires_grad = m in chosen
    return tuple(parameter for m in chosen for parameter in m.parameters(recurse=False))


@contextlib.contextmanager
def evaluating(net):
    modes = {name: m.training for name, m in net.named_modules()}
    net.eval()
    try:
        yield
    finally:
        for name, mode in modes.items():
            net.get_submodule(name).train(mode)  # parents come before their children


@torch.no_grad()
def in_a_context(net, batches):
    with evaluating(net):
        hits = torch.cat([net(x).softmax(-1).max(-1).indices.eq(y) for x, y in batches])
    return hits.double().mean().item()


def on_a_copy(net, batches):
    net = copy.deepcopy(net).eval()
    with torch.inference_mode():
        pairs = [(int(p), int(t)) for x, y in batches for p, t in zip(net(x).argmax(1), y, strict=True)]
    return sum(p == t for p, t in pairs) / len(pairs)


def shortcut_swapped_for_nothing(block, x):
    class Nothing(nn.Module):
        def forward(self, x):
            return 0 * x[:1, :1, :1, :1]

    kept = block.downsample
    try:
        block.downsample = Nothing()
        return block(x)
    finally:
        block.downsample = kept


def clean_hooks(net, layers, batches):
    """Hooks of a context, which average in place of the caller."""
    pieces = []
    with contextlib.ExitStack() as stack, torch.inference_mode():
        for name in layers:

            def hook(m, i, o, name=name):
                pieces[-1][name] = torch.nn.functional.adaptive_avg_pool2d(o, 1).flatten(1)

            stack.callback(net.get_submodule(name).register_forward_hook(hook).remove)
        for x in batches:
            pieces.append({})
            net(x)
    return {name: torch.cat([piece[name] for piece in pieces]) for name in layers}


def by_loops(labels, intact, lesioned):
    drops, errors, n = [], [], len(labels)
    for row in lesioned:
        d = [int(a == y) - int(b == y) for y, a, b in zip(labels, intact, row, strict=True)]
        mean = sum(d) / n
        drops.append(mean)
        errors.append((sum((v - mean) ** 2 for v in d) / (n - 1) / n) ** 0.5)
    return drops, errors


def by_discordant_pairs(labels, intact, lesioned):
    n, before, after = len(labels), intact == labels, lesioned == labels
    lost, gained = (before & ~after).sum(1), (~before & after).sum(1)
    return (lost - gained) / n, ((lost + gained - (lost - gained) ** 2 / n) / (n - 1) / n).sqrt()


ALSO_RIGHT = [
    ("train_only", checked(freezing())),
    ("train_only", module_by_module),
    ("accuracy", in_a_context),
    ("accuracy", on_a_copy),
    ("accuracy", score()),
    ("no_skip", lambda block, x: relu(branch(block, x))),
    ("no_skip", shortcut_swapped_for_nothing),
    ("hooked_means", clean_hooks),
    ("hooked_means", reading()),
    ("hooked_means", reading(picks=lambda i, o: o.clone(), late=True)),
    ("residual_gradient", backwards(lambda g, on, j, x, f: ((g * on)[:, None] @ (j + torch.eye(4, dtype=j.dtype)))[:, 0])),
    ("residual_gradient", lambda x, f, jacobian, upstream: torch.where(f > -x, upstream, 0.0)
     + (jacobian * torch.where(f > -x, upstream, 0.0).unsqueeze(-1)).sum(1)),
    ("lesion_drops", by_loops),
    ("lesion_drops", by_discordant_pairs),
    ("lesion_drops", costs(lambda d, y, a, b: d.float().mean(-1), lambda d, y, a, b: d.float().var(-1).div(len(y)).sqrt())),
]  # fmt: skip
