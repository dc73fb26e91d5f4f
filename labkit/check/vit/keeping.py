"""Checks of lab 02: a vision transformer that is shown some patches, compared with a net for a strip of just these patches."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from labkit.check.frame import F64, Case, Mistake, draw, judge, run_cases, takes
from labkit.check.nets import gradients_as_before, hooks, modes, moved, some, state, undisturbed
from labkit.check.vit.small import PATCH, apply, vit

_STILL = "the tokens are still there and are read: take them out"
_FIRST = "token 0 of the last layer is the class token: after net.vit.layernorm, its row goes into net.classifier"
_ROWS = "tokens[:, 1:][keep_mask] puts the kept patches of all images in one long list: reshape it to (B, K, D)"
_POSITION = "a patch keeps the position it has in the image: net.vit.embeddings(x) has added it already"
_HINTS = {
    "Tensors must have same number of dimensions": _ROWS,
    "Sizes of tensors must match except in dimension": _ROWS,
    "shape of the mask": "keep_mask says nothing of the class token: tokens[:, 1:] are the patches",
    "doesn't match model": "the net wants images of its own size: tokens are taken out, not pixels",
    "'NoneType' object has no attribute 'expand'": "bool_masked_pos puts a mask token in the place of a patch, which the net "
    "would read too, and it has none",
    "must be broadcastable": "a mask of attention has a place for each token, the class token too: (B, 1 + P)",
    "must match the size of tensor": "keep_mask has a place for each patch, tokens one more, for the class token",
    "'BaseModelOutput": "net.vit(x) returns an object: the tokens after the last layer are its last_hidden_state",
    "must have the same dtype": "the net and the images are float64 here: make new tensors like them, with their dtype",
}  # fmt: skip


def keep_tokens(function: Callable[..., Any]) -> None:
    """Check `keep_tokens(net, x, keep_mask)`: -> logits (B, classes), compared with nets for strips of the kept patches."""

    built: dict[tuple[int, int, int], Any] = {}  # nets for strips take longest to build

    def masks(n: int, places: int, kept: int, seed: int = 0) -> Tensor:
        """Masks (n, places), other places for each image."""
        order = draw(n, places, seed=40 + seed).argsort(1)
        return torch.zeros(n, places, dtype=torch.bool).scatter(1, order[:, :kept], True)

    def images(n: int, height: int, width: int) -> Tensor:
        return draw(n, 3, height, width, seed=44)

    def strips(
        net: Any,
        x: Tensor,
        mask: Tensor,
        *,
        place: Callable[[Tensor, Tensor], Tensor] = lambda positions, kept: positions[:, kept],
        change: Callable[[Any], None] = lambda twin: None,
        read: Callable[[Any, Tensor], Tensor] = lambda twin, strip: twin(strip).logits,
    ) -> Tensor:
        """What a net with the same weights says of images (4, 4 K) of the kept patches, side by side."""
        across, strip, added = x.shape[3] // PATCH, [], []
        positions = net.vit.embeddings.position_embeddings.detach()
        for image, row in zip(x, mask, strict=True):
            places = [p for p, is_kept in enumerate(row.tolist()) if is_kept]
            tiles = [image[:, p // across * PATCH :, p % across * PATCH :][:, :PATCH, :PATCH] for p in places]
            strip.append(torch.cat(tiles, 2))
            added.append(place(positions, torch.tensor([0, *(1 + p for p in places)]))[0])
        shape = (len(tiles), net.config.num_hidden_layers, net.config.num_labels)
        if shape not in built:
            built[shape] = vit(PATCH, PATCH * shape[0], layers=shape[1], classes=shape[2])
        twin = copy.deepcopy(built[shape])
        weights = {name: values for name, values in net.state_dict().items() if not name.endswith("position_embeddings")}
        twin.load_state_dict(weights, strict=False)
        twin.vit.embeddings.position_embeddings = nn.Parameter(torch.stack(added))  # each strip has its own
        change(twin)
        with torch.no_grad():
            return read(twin, torch.stack(strip))

    def through(net: Any, x: Tensor, tokens: Tensor | None = None, hide: dict[int, Tensor] | None = None) -> Tensor:
        """Logits with other tokens in the first layer, or with tokens that nobody may read, bool (B, 1 + P), by layer."""
        handles = []
        for i, layer in enumerate(net.vit.layers):

            def put(module: nn.Module, args: tuple[Any, ...], i: int = i) -> tuple[Any, ...]:
                hidden = (hide or {}).get(i)
                weights = None if hidden is None else torch.zeros(hidden.shape, dtype=F64).masked_fill(hidden, -1e30)
                return (args[0] if tokens is None or i else tokens, None if weights is None else weights[:, None, None])

            handles.append(layer.register_forward_pre_hook(put))
        with torch.no_grad():
            logits: Tensor = net(x).logits
        for handle in handles:
            handle.remove()
        return logits

    def last(twin: Any, strip: Tensor) -> Tensor:
        tokens: Tensor = twin.vit(strip).last_hidden_state
        return tokens

    def known(net: Any, x: Tensor, mask: Tensor) -> dict[str, tuple[Tensor]]:
        """What well-known mistakes give."""
        depth, spots = len(net.vit.layers), mask[..., None].to(F64)
        across, down = x.shape[3] // PATCH, x.shape[2] // PATCH
        spread = mask.view(-1, 1, down, across).repeat_interleave(PATCH, 2).repeat_interleave(PATCH, 3).to(F64)
        with torch.no_grad():
            tokens, plain = net.vit.embeddings(x), net(x).logits
        begin, patches = tokens[:, :1], tokens[:, 1:]
        hidden = torch.cat([torch.zeros(len(x), 1, dtype=torch.bool), ~mask], 1)
        first, every = torch.zeros_like(hidden), range(depth)
        first[:, 0] = True

        def filled(values: Tensor) -> Tensor:
            """Something else in the place of the hidden tokens."""
            return through(net, x, torch.cat([begin, patches * spots + values * (1 - spots)], 1))

        def without(*gone: int) -> Callable[[Any], None]:
            def change(twin: Any) -> None:
                twin.vit.layers = nn.ModuleList(layer for i, layer in enumerate(twin.vit.layers) if i not in gone)

            return change

        def raw(twin: Any) -> None:
            twin.vit.layernorm = nn.Identity()

        def strip(**options: Any) -> Tensor:
            return strips(net, x, mask, **options)

        right = strip()
        found = {
            "nothing was hidden: this is net(x).logits": plain,
            "the first image's mask was used for all: each has its own": strips(net, x, mask[:1].expand_as(mask)),
            f"hidden pixels were set to 0: {_STILL}": through(net, x * spread),
            f"hidden tokens were set to 0: {_STILL}": filled(torch.zeros_like(patches)),
            f"hidden tokens were set to 0, before positions were added: {_STILL}":
                filled(net.vit.embeddings.position_embeddings.detach()[:, 1:].expand_as(patches)),
            f"hidden tokens were replaced by the mean of the image's tokens: {_STILL}":
                filled(patches.mean(1, keepdim=True).expand_as(patches)),
            f"hidden tokens were replaced by the mean of the kept ones: {_STILL}":
                filled(((patches * spots).sum(1, keepdim=True) / spots.sum(1, keepdim=True)).expand_as(patches)),
            f"hidden tokens were replaced by the mean token of the batch: {_STILL}":
                filled(patches.mean((0, 1), keepdim=True).expand_as(patches)),
            f"the kept patches got the first positions: {_POSITION}":
                strip(place=lambda positions, kept: positions[:, : len(kept)]),
            f"positions were added twice: {_POSITION}": strip(place=lambda positions, kept: 2 * positions[:, kept]),
            f"there are no positions: {_POSITION}": strip(place=lambda positions, kept: 0 * positions[:, kept]),
            "the class token has lost its position: position 0 is its own":
                strip(place=lambda positions, kept: positions[:, kept] * (kept > 0).view(1, -1, 1)),
            "the class token is lost: keep_mask is of patches, and token 0 stays in any case":
                strip(read=lambda twin, one: through(twin, one, twin.vit.embeddings(one)[:, 1:])),
            "the patches could not read the class token: it stays an input as any other":
                through(net, x, hide=dict.fromkeys(every, hidden | first)),
            "patches were hidden in the first layer alone, and are read in those behind": through(net, x, hide={0: hidden}),
            "patches were taken out after the first layer, in which all have read them":
                through(net, x, hide={i: hidden for i in every if i}),
            "the final layer norm, net.vit.layernorm, is missing": strip(change=raw),
            f"this is read from the mean of the patches: {_FIRST}":
                strip(read=lambda twin, one: twin.classifier(last(twin, one)[:, 1:].mean(1))),
            f"this is read from the mean of all tokens: {_FIRST}":
                strip(read=lambda twin, one: twin.classifier(last(twin, one).mean(1))),
            f"this is read from the last token: {_FIRST}":
                strip(read=lambda twin, one: twin.classifier(last(twin, one)[:, -1])),
            f"this is read from the first of the kept patches: {_FIRST}":
                strip(read=lambda twin, one: twin.classifier(last(twin, one)[:, 1])),
            f"these are the tokens (B, 1 + K, D), not logits: {_FIRST}": strip(read=last),
            "these are the tokens (B, 1 + K, D) before the final layer norm, not logits": strip(read=last, change=raw),
            f"each token got logits: {_FIRST}": strip(read=lambda twin, one: twin.classifier(last(twin, one))),
            "this is the class token of the last layer: net.classifier makes logits of it":
                strip(read=lambda twin, one: last(twin, one)[:, 0]),
            "these are probabilities: return the logits": right.softmax(1),
            "these are logarithms of probabilities: return the logits": right.log_softmax(1),
            "this is the most probable class: return the logits": right.argmax(1),
            "there are no layers: tokens go through each of net.vit.layers": strip(change=without(*every)),
            "the last layer is missing": strip(change=without(depth - 1)),
            "the first layer is missing": strip(change=without(0)),
            "the batch dimension is lost: (B, classes)": right[0]}  # fmt: skip
        if not bool(mask.all()):
            found["what is True in keep_mask was hidden: True *keeps* a patch"] = strips(net, x, ~mask)
        return {cause: (value,) for cause, value in found.items()}

    def shown(f: Callable[..., Any], net: Any, x: Tensor, mask: Tensor) -> Any:
        takes(f, "net", "x", "keep_mask")
        out = apply(f, net, x, mask, hints=_HINTS)
        for name in ("logits", "last_hidden_state"):
            if not isinstance(out, Tensor) and hasattr(out, name):
                raise Mistake("logits (B, classes)", type(out).__name__, f"a net returns an object: return its .{name}"
                              if name == "logits" else f"these are the tokens after the last layer: {_FIRST}")  # fmt: skip
        return out

    def kept(f: Callable[..., Any], n: int, height: int, width: int, k: int, **options: int) -> None:
        net, x = vit(height, width, **options), images(n, height, width)
        mask = masks(n, height * width // PATCH**2, k)
        out = shown(f, copy.deepcopy(net), x.clone(), mask.clone())
        judge({"logits": out}, {"logits": strips(net, x, mask)}, lambda: known(net, x, mask))

    def everything(f: Callable[..., Any]) -> None:
        net, x, mask = vit(12, 12), images(2, 12, 12), torch.ones(2, 9, dtype=torch.bool)
        with torch.no_grad():
            plain = net(x).logits
        judge({"logits": shown(f, copy.deepcopy(net), x, mask)}, {"logits": plain}, lambda: known(net, x, mask))

    def unseen(f: Callable[..., Any]) -> None:
        net, x, mask = vit(12, 12), images(2, 12, 12), masks(2, 9, 5, seed=1)
        want, tiles = shown(f, net, x.clone(), mask.clone()), x.unfold(2, PATCH, PATCH).unfold(3, PATCH, PATCH)
        for image, row in enumerate(mask.view(2, 3, 3)):
            tiles[image, :, ~row] *= -30  # tiles are views of x
        try:
            judge({"logits": shown(f, net, x, mask)}, {"logits": want}, dict)
        except Mistake as mistake:
            raise Mistake(mistake.expected, mistake.got, "the hidden patches are other ones now, and the logits differ: "
                          "something has read them, or their mean") from None  # fmt: skip

    def left_alone(f: Callable[..., Any]) -> None:
        net, x, mask = vit(12, 12), images(2, 12, 12), masks(2, 9, 4)
        weights, mode, copies, after = state(net), modes(net), (x.clone(), mask.clone()), []
        config = net.config.to_dict()

        def watched(net: Any, x: Tensor, keep_mask: Tensor) -> Any:
            out = f(net, x, keep_mask)
            after.append(torch.is_grad_enabled())
            return out

        shown(watched, net, x, mask)
        gradients_as_before(net, after)
        if modes(net) != mode:
            raise Mistake("the net in evaluation mode, as it was", "another mode", "leave net.train() and net.eval() alone")
        if moved(net, weights) or config != net.config.to_dict():
            raise Mistake("the net unchanged", f"{some(moved(net, weights)) or 'its config'} changed", "leave the net as it is")
        if hooks(net):
            raise Mistake("no hook left on the net", f"{hooks(net)} left", "remove the handle of each hook")
        if x.requires_grad or any(parameter.grad is not None for parameter in net.parameters()):
            raise Mistake("no gradients on the net or x", "some", "logits are asked for: neither backward() nor gradients")
        for name, tensor, was in zip(("x", "keep_mask"), (x, mask), copies, strict=True):
            if not torch.equal(tensor, was):
                raise Mistake(f"{name} unchanged", "changed values", "an operation in place (a name ending in _, or +=)")

    with undisturbed():
        run_cases(
            "keep_tokens",
            function,
            [
                Case("three images, 4 of 9 patches each", lambda f: kept(f, 3, 12, 12, 4)),
                Case("two images of 2 x 3 patches, 5 of them kept, one layer", lambda f: kept(f, 2, 8, 12, 5, layers=1)),
                Case("a batch of one image, one patch kept, three layers", lambda f: kept(f, 1, 12, 12, 1, layers=3)),
                Case("all patches kept: the same as net(x).logits", everything),
                Case("other pixels in the hidden patches", unseen),
                Case("the net, x and keep_mask afterwards", left_alone),
            ],
            reread="section 4, on hidden patches: when positions are added, which tokens go on, and from which one is read",
        )
