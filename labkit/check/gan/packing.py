"""Checks of lab 03: how a discriminator gets to see several images at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from labkit.check.frame import F64, Case, Mistake, run_cases, takes


def pack(function: Callable[..., Any]) -> None:
    """Check `pack(x, pac)`: images (..., B, P) -> rows (..., B // pac, pac * P), each of `pac` images side by side.

    Which images form a row is left open: a batch is in random order.

    Source: PacGAN, Lin et al. 2018, arXiv:1712.04086.
    """

    def images(*shape: int) -> Tensor:
        """Every pixel is the square of its number, so that the result shows where it came from, and averages show, too."""
        return torch.arange(math.prod(shape), dtype=F64).square().reshape(shape)

    def rows(f: Callable[..., Any], pac: int, *shape: int) -> None:
        takes(f, "x", "pac")
        x = images(*shape).requires_grad_()
        (*lead, b, p), before = shape, x.detach().clone()
        n = b // pac
        want = (*lead, n, pac * p)
        try:
            out = f(x, pac)
        except (RuntimeError, ValueError, IndexError) as error:
            if isinstance(error, NotImplementedError):
                raise
            cause = "leave the images beyond the last full group out" if b % pac else "count dimensions from the end"
            raise Mistake(f"shape {want} for {b} images, {pac} a row", f"{type(error).__name__}: {error}", cause) from None
        if not isinstance(out, Tensor):
            raise Mistake("a tensor", type(out).__name__, "the function has no return statement" if out is None else "")
        have = tuple(out.shape)
        if have != want:
            raise Mistake(f"shape {want} for {b} images, {pac} a row", f"shape {have}", {
                (*lead, n, pac, p): "join the images of a row: flatten the last two dimensions",
                (*lead, n, p): "the images of a row were averaged, added or dropped: put them side by side",
                (*lead, b, pac * p): "as many rows as before: every image is to be used once",
                (*lead, b, p // pac): "the images were cut up: whole images are put side by side",
                (*lead, b * pac, p // pac): "the images were cut up: whole images are put side by side",
                (*lead, pac, n * p): "the two numbers are swapped: rows of pac images, not pac rows",
                (*lead, p, n * pac): "pixels and images are swapped",
                (*lead, n, p, pac): "join the images of a row: each stays whole, one after the other",
                (*lead, -(-b // pac), pac * p): "the last group is not full: leave it out",
                (math.prod(lead) * b // pac, pac * p): "the leading dimensions (arms, seeds) are gone: keep them",
            }.get(have, "look at which dimensions are joined: count them from the end"))  # fmt: skip
        whole_images(out.detach(), shape, pac)
        if not torch.equal(x.detach(), before):
            raise Mistake("x unchanged", "changed values", "an operation in place (a name ending in _, or +=)")
        if not out.requires_grad:
            raise Mistake("an output that gradients flow through", "one without a gradient",
                          "a detach(), .data, .numpy() or no_grad: G learns through the packed images")  # fmt: skip

    def whole_images(out: Tensor, shape: tuple[int, ...], pac: int) -> None:
        *_, b, p = shape
        cells = out.reshape(-1, b // pac, pac, p).sqrt()  # numbers of the pixels
        whole = f"each row made of {pac} whole images"
        if not torch.equal(cells, cells.round()) or cells.max() >= math.prod(shape):  # NaN is not equal
            raise Mistake(whole, "values that are in no image", "the images were averaged or added: put them side by side")
        if not torch.equal(cells, cells[..., :1] + torch.arange(p)) or (cells[..., 0] % p).any():
            raise Mistake(whole, "pixels of several images mixed", "first all pixels of one image, then all of the next: see "
                          "which dimensions are neighbours when you flatten or reshape")  # fmt: skip
        source = (cells[..., 0] / p).long()  # (nets, rows, pac): the image that stands there
        nets = torch.arange(len(source))[:, None, None]
        if (source // b != nets).any():
            raise Mistake(whole + " of its own net", "images of another net",
                          "the leading dimensions (arms, seeds) were mixed: drop the images that are left over in each "
                          "net, by dimension -2, before you join rows")  # fmt: skip
        for net in source:
            if any(len(set(row)) < pac for row in net.tolist()):
                raise Mistake(f"{pac} different images in a row", "the same image twice",
                              "the image was repeated: D is to see several images at once")  # fmt: skip
            if len(net.unique()) < net.numel():
                raise Mistake("each image once", "an image in two rows", "the groups overlap: every image is to be used once")

    run_cases(
        "pack",
        function,
        [
            Case("six images of four pixels, two a row", lambda f: rows(f, 2, 6, 4)),
            Case("nine images, three a row", lambda f: rows(f, 3, 9, 6)),
            Case("seven images, three a row: one is left over", lambda f: rows(f, 3, 7, 6)),
            Case("one a row: nothing changes but the order", lambda f: rows(f, 1, 5, 4)),
            Case("stacked nets: leading dimensions (arms, seeds)", lambda f: rows(f, 2, 2, 3, 8, 4)),
            Case("stacked nets with images left over", lambda f: rows(f, 3, 2, 3, 5, 6)),
        ],
        reread="section 2: a packed discriminator judges `pac` different images at once, side by side in one row",
    )
