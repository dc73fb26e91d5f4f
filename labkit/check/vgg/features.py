"""Checks of lab 06: features at relu7, measured on a net that stays as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from labkit.check.frame import Case, Mistake, compare, run_cases, takes
from labkit.check.nets import Broken, call, gradients_as_before, hooks, modes, moved, some, state, undisturbed
from labkit.check.vgg.small import Vgg

_MEAN, _STD = (0.6, 0.45, 0.3), (0.2, 0.35, 0.5)
_RTOL, _ATOL = 1e-4, 1e-5  # features are float32
_FINALLY = "an error jumped over the lines that put things back: they belong under `finally:`"
_ALIKE = "net.train(), also with a mode, sets all modules alike"
_BETWEEN = "between net.features and net.classifier come net.avgpool and flatten(1), as in the net's own forward()"
_CHANNELS = "mean and std have a number for each channel: make them tensors of shape (3, 1, 1)"


def relu7(function: Callable[..., Any]) -> None:
    """Check `relu7(net, images, mean, std)`: -> (B, D), compared with the layers of a small VGG in float64."""

    def photos(n: int = 5) -> Tensor:
        return torch.randint(240, (n, 1, 8, 8), generator=torch.Generator().manual_seed(n), dtype=torch.uint8)

    def mixed(root: bool, *, breaks: bool = False) -> Vgg:
        """A net whose modules are not all in the same mode."""
        net = Vgg(breaks=breaks).train(root)
        for module, mode in ((net.features, not root), (net.features[1], root), (net.classifier[2], True)):
            module.train(mode)
        return net

    def outputs(pixels: Tensor) -> dict[str, Tensor]:
        """What the layers put out, in float64 and evaluation mode."""
        twin, found = Vgg().double().eval(), {}

        def keep(name: str) -> Callable[..., None]:
            return lambda module, args, out: found.update({name: out.detach().clone()})

        for name, module in twin.named_modules():
            module.register_forward_hook(keep(name))
        twin(pixels)
        return found

    def scaled(images: Tensor) -> Tensor:
        """Red, green and blue as the pretraining had them, with a standard deviation of 1 about 0."""
        return torch.cat([(images.double() - 255 * m) / (255 * s) for m, s in zip(_MEAN, _STD, strict=True)], 1)

    def unit(z: Tensor) -> Tensor:
        return z / z.square().sum(1, keepdim=True).sqrt().clamp(min=1e-12)

    def known(images: Tensor) -> dict[str, Tensor]:
        """What well-known mistakes give."""
        grey, right = images.double().repeat(1, 3, 1, 1), scaled(images)
        m, s = (torch.tensor(numbers, dtype=torch.float64).view(3, 1, 1) for numbers in (_MEAN, _STD))
        part = grey / 255
        pixels = {
            "pixels are 0..255: mean and std are of 0..1, so divide by 255 first": (grey - m) / s,
            "pixels are 0..255, without mean and std: divide by 255, subtract mean, divide by std": grey,
            "mean and std are missing: the net was pretrained with them": part,
            "the mean was subtracted, but nothing divided by std": part - m,
            "divided by std, but the mean was not subtracted": part / s,
            "divided by the mean: it is std that divides": (part - m) / m,
            "multiplied by std: divide": (part - m) * s,
            "mean and std are swapped": (part - s) / m,
            "divided by 255 at the end: mean and std are of 0..1, so 255 comes first": (grey - m) / s / 255,
            "the mean was subtracted after dividing by std": part / s - m,
            "divided by 256: white is 255": (grey / 256 - m) / s,
            "each channel got the mean and std of red": (part - m[0]) / s[0],
            "each channel got the average of mean and of std": (part - m.mean()) / s.mean(),
            "mean and std are in the order blue, green, red": (part - m.flip(0)) / s.flip(0),
            "each image was divided by its own largest pixel: 255 is white in all of them":
                (grey / grey.amax((1, 2, 3), keepdim=True) - m) / s}  # fmt: skip
        found = {cause: outputs(x)["classifier.4"] for cause, x in pixels.items()}
        layers = outputs(right)
        for cause, name in (("relu6, two layers before relu7", "classifier.1"), ("fc6", "classifier.0"),
                            ("fc7 before its relu", "classifier.3"), ("the logits", "classifier.6")):  # fmt: skip
            found[f"this is {cause}: net.classifier[:5] ends with layer 4, relu7"] = layers[name]
        z = layers["classifier.4"]
        answers = {cause: unit(values) for cause, values in found.items()}
        answers |= {f"{cause}; and rows are of length 1": values for cause, values in found.items()}
        return answers | {
            "the rows are not of length 1: divide each by its Euclidean length": z,
            "normalised over the batch (dim=0): each image, a row, has length 1": unit(z.T).T,
            "divided by the sum of the row (1-norm): Euclidean length is the root of the sum of squares":
                z / z.sum(1, keepdim=True),
            "divided by the largest number of the row: take the Euclidean length": z / z.amax(1, keepdim=True),
            "divided by the squared length: take the root": z / z.square().sum(1, keepdim=True),
            "divided by the length of the whole batch: each row has length 1": z / z.square().sum().sqrt(),
            "the average row was subtracted": unit(z - z.mean(0)),
            "images and features are swapped": unit(z).T}  # fmt: skip

    def apply(f: Callable[..., Any], net: nn.Module, images: Tensor) -> Any:
        takes(f, "net", "images", "mean", "std")
        return call(f, net, images, _MEAN, _STD, hints={
            "mat1 and mat2 shapes cannot be multiplied": _BETWEEN,
            "must match the size of tensor": _CHANNELS, "'tuple'": _CHANNELS,
            "to have 3 channels": "grey images have one channel, and the net wants three: show it three times, by expand",
            "unsigned char": "images are bytes: .float() first", "Byte": "images are bytes: .float() first"})  # fmt: skip

    def judge(f: Callable[..., Any], images: Tensor) -> None:
        out = apply(f, Vgg().eval(), images.clone())
        want = unit(outputs(scaled(images))["classifier.4"])
        try:
            compare(out, want, rtol=_RTOL, atol=_ATOL)
        except Mistake:
            compare(out, want, known=known(images), rtol=_RTOL, atol=_ATOL)
        if not isinstance(out, Tensor) or out.dtype != torch.float32:
            raise Mistake("a float32 tensor", f"{getattr(out, 'dtype', type(out).__name__)}", "images.float() is float32")

    def evaluated(f: Callable[..., Any]) -> None:
        images = photos()
        want = apply(f, Vgg().eval(), images.clone())
        if not isinstance(want, Tensor):
            raise Mistake("features", type(want).__name__, "the function has no return statement" if want is None else "")
        for net in (Vgg().train(), mixed(True), mixed(False)):
            before, answers = state(net), []
            for _ in range(2):
                answers.append(apply(f, net, images.clone()))
            on = list(dict.fromkeys(note.where for note in net.seen if note.training))
            if on:
                raise Mistake("every module in evaluation mode during the pass", f"training mode in {' and '.join(on)}",
                              "call net.eval() first, on all of the net: in training mode dropout draws, so that features "
                              "differ from call to call, and batch norm judges an image by its batch")  # fmt: skip
            if moved(net, before):
                raise Mistake("weights and statistics unchanged", f"{some(moved(net, before))} changed",
                              "batch norm took new statistics, or something was written into the net")  # fmt: skip
            for out in answers:
                compare(out, want, rtol=_RTOL, atol=_ATOL)

    def no_graph(f: Callable[..., Any]) -> None:
        net, after = Vgg().eval(), []

        def watched(net: nn.Module, images: Tensor, mean: Any, std: Any) -> Any:
            out = f(net, images, mean, std)
            after.append(torch.is_grad_enabled())
            return out

        out = apply(watched, net, photos())
        if any(note.graph for note in net.seen) or (isinstance(out, Tensor) and out.requires_grad):
            raise Mistake("features without a graph", "features, or a pass, with one",
                          "evaluation mode and detach() do not stop a pass from building it: no_grad() does")  # fmt: skip
        gradients_as_before(net, after)

    def same(net: nn.Module, before: dict[str, bool], cause: str = "") -> None:
        after = modes(net)
        wrong = [name or "the net itself" for name in after if after[name] != before[name]]
        if wrong and not cause:
            cause = (
                f"everything was put into training mode, also what was not: {_ALIKE}" if all(after.values()) else
                f"it is still in evaluation mode: nothing was put back, or by net.train(mode), and {_ALIKE}"
                if not any(after.values()) else
                f"only some modes were put back: note that of each of net.modules(), children of children too; {_ALIKE}"
            )  # fmt: skip
        if wrong:
            raise Mistake("each module in the mode in which it was", f"another mode in {some(wrong)}", cause)
        if hooks(net):
            raise Mistake("no hook left on the net", f"{hooks(net)} left", cause or "remove the handle of each hook")

    def restored(f: Callable[..., Any]) -> None:
        for net in (Vgg().train(), Vgg().eval(), mixed(True), mixed(False)):
            before = modes(net)
            apply(f, net, photos())
            same(net, before)

    def after_an_error(f: Callable[..., Any]) -> None:
        net = mixed(True, breaks=True)
        before = modes(net)
        try:
            apply(f, net, photos())
        except Broken:
            same(net, before, _FINALLY)
        else:
            raise Mistake("the net's error to arrive at the caller", "a result", "an `except:` swallowed it, or the net's "
                          "features did not run: use `finally:`")  # fmt: skip

    def images_kept(f: Callable[..., Any]) -> None:
        images = photos()
        apply(f, Vgg().eval(), images)
        if not torch.equal(images, photos()):
            raise Mistake("the images unchanged", "changed values", "an operation in place (a name ending in _, or +=)")

    with undisturbed():
        run_cases(
            "relu7",
            function,
            [
                Case("five images, and a small VGG in evaluation mode", lambda f: judge(f, photos())),
                Case("a batch of one image", lambda f: judge(f, photos(1))),
                Case("nets in training mode, and in both modes", evaluated),
                Case("no graph, and gradients as before", no_graph),
                Case("the modes and hooks afterwards", restored),
                Case("the modes and hooks after the net raised an error", after_an_error),
                Case("the images stay as they are", images_kept),
            ],
            reread="section 2, on relu7, and print(net) of the VGG; what goes in, where it is cut, and which length is 1",
        )
