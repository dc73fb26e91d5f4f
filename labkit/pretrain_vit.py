"""How the weights of the tiny Vision Transformers are made: with labels, and as a masked autoencoder without any."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit import twin_nets, twins
from labkit.machine import generator, local_seed, pick_device
from labkit.preparation import Preparation
from labkit.recipes import TOYBOX_SEED, Trained, accuracy, flipped_and_cropped, preparation, rise_and_fall
from labkit.sets import Images, batches
from labkit.train import Run


@dataclass(frozen=True)
class Recipe:
    """A training by AdamW, with a learning rate that rises to `lr` and falls as a cosine, and gradients clipped at 1."""

    epochs: int
    images: int = 25_600  # drawn for training
    lr: float = 2e-3
    warm: float = 0.1  # share of the steps in which the learning rate rises
    weight_decay: float = 0.05
    batch_size: int = 64
    padding: int = 3  # pixels, of the random crop
    seed: int = 0


SUPERVISED = Recipe(epochs=18)
#: The same nets' poorer sibling: as large, but with a twelfth of the images and an eighth of the steps
SHORT = Recipe(epochs=28, images=2_048)
MASKED = Recipe(epochs=12)
MASK_RATIO = 0.6  # of the patches: 8 x 8 of them say less of each other than 14 x 14, of which 0.75 are masked
LABELLED = 4_000  # images on which the head of the masked autoencoder is fitted


def supervised(label: str, *, name: str) -> Trained:
    """Train a ViT with the labels of `toybox`; its accuracy is that on the test images, as stored."""
    from labkit.worlds.toybox import render, toybox

    recipe = SHORT if name.endswith("_short") else SUPERVISED
    net, prepare = twin_nets.build(name, seed=recipe.seed), preparation(name)
    train, rng = render(recipe.images, seed=TOYBOX_SEED).to(pick_device()), generator(recipe.seed)
    net.to(train.pixels.device)
    fit(
        net.parameters(),
        train,
        recipe,
        label,
        lambda x, y: F.cross_entropy(net(prepare(flipped_and_cropped(x, rng, padding=recipe.padding))).logits, y),
    )
    return finished(net, toybox("test"), prepare)


def masked(label: str, *, name: str) -> Trained:
    """Train an encoder to fill in hidden patches of images of `toybox`, and then, frozen, a head on its class token.

    The head is a logistic regression on `LABELLED` images; the stated accuracy is that of this linear probe.
    Source: He et al. 2022, arXiv:2111.06377 (the decoder is a narrow one of two layers, targets are normalised by patch).
    """
    from transformers import ViTMAEConfig, ViTMAEForPreTraining

    from labkit.worlds.toybox import render, toybox

    recipe, prepare, device = MASKED, preparation(name), pick_device()
    net: Any = twin_nets.build(name, seed=recipe.seed)
    patches, half = (net.config.image_size // net.config.patch_size) ** 2, net.config.hidden_size // 2
    decoder = {"decoder_hidden_size": half, "decoder_num_hidden_layers": 2, "decoder_num_attention_heads": 2}
    decoder |= {"decoder_intermediate_size": 2 * half, "mask_ratio": MASK_RATIO, "norm_pix_loss": True}
    options = {**net.config.to_dict(), **decoder, "model_type": "vit_mae", "attn_implementation": "eager"}
    with local_seed(recipe.seed):
        whole: Any = ViTMAEForPreTraining(ViTMAEConfig(**options))
        # the library leaves the places of a new net at 0, and no patch could be told from another
        whole.decoder.initialize_weights(patches)
    whole.vit.load_state_dict(net.vit.state_dict())
    whole.to(device)
    train, rng = render(recipe.images, seed=TOYBOX_SEED).to(device), generator(recipe.seed)

    def loss(x: Tensor, y: Tensor) -> Tensor:
        noise = torch.rand(len(x), patches, generator=rng).to(x.device)
        return whole(prepare(flipped_and_cropped(x, rng, padding=recipe.padding)), noise=noise).loss

    fit(whole.parameters(), train, recipe, label, loss)
    net.vit.load_state_dict(whole.cpu().vit.state_dict())
    fit_head(net, train[torch.arange(LABELLED)].to("cpu"), prepare)
    return finished(net, toybox("test"), prepare)


def fit(
    parameters: Iterable[nn.Parameter],
    train: Images,
    recipe: Recipe,
    label: str,
    loss: Callable[[Tensor, Tensor], Tensor],
) -> None:
    """Minimise `loss(images, labels)` over the parameters that ask for a gradient."""
    wanted = [p for p in parameters if p.requires_grad]  # the autoencoder's positions are fixed
    optimizer = torch.optim.AdamW(wanted, lr=recipe.lr, weight_decay=recipe.weight_decay)
    run = Run(train, epochs=recipe.epochs, batch_size=recipe.batch_size, seeds=(recipe.seed,), label=label)
    for x, y in run:
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr * rise_and_fall(run.progress, recipe.warm)
        run.step(optimizer, loss(x, y), clip=1.0)


@torch.no_grad()
def fit_head(net: Any, images: Images, prepare: Preparation) -> None:
    """Put a logistic regression on the class tokens of a frozen ViT into its head; standardisation is folded in."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    net.eval()
    tokens = torch.cat([net.vit(prepare(x)).last_hidden_state[:, 0] for x, _ in batches(images, batch_size=256)])
    mean, std = tokens.mean(0), tokens.std(0)
    with threadpool_limits(limits=1):
        probe = LogisticRegression(max_iter=2000).fit(((tokens - mean) / std).numpy(), images.labels.numpy())
    weight = torch.from_numpy(probe.coef_).float() / std
    net.classifier.weight.copy_(weight)
    net.classifier.bias.copy_(torch.from_numpy(probe.intercept_).float() - weight @ mean)


def finished(net: nn.Module, test: Images, prepare: Preparation) -> Trained:
    """The net as it will be stored, and its accuracy."""
    net.cpu().eval()
    twins.round_as_stored(net)
    return Trained(net, {"toybox test": accuracy(net, test, prepare)})
