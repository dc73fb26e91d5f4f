"""The tiny Vision Transformers and their recipes, at a few steps."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from labkit import machine, pretrain, pretrain_conv, pretrain_vit, twin_nets
from labkit.preparation import Preparation
from labkit.worlds import toybox

PREPARE = Preparation(32, twin_nets.MEAN, twin_nets.STD)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setenv("LABKIT_DEVICE", "cpu")
    monkeypatch.setattr(machine, "settle", lambda *arguments, **options: None)  # it is for a whole process
    monkeypatch.setattr("labkit.worlds.toybox.toybox", lambda split: toybox.render(60, seed=1))
    for name in ("SUPERVISED", "SHORT", "MASKED"):
        images = 96 if name == "SHORT" else 128
        monkeypatch.setattr(pretrain_vit, name, replace(getattr(pretrain_vit, name), epochs=1, images=images))
    monkeypatch.setattr(pretrain_vit, "LABELLED", 120)


@pytest.mark.parametrize("name", twin_nets.VITS)
def test_a_tiny_vit_gives_the_attention_of_every_layer_and_head(name):
    net, (width, depth) = twin_nets.build(name).eval(), twin_nets.VITS[name]
    with torch.no_grad():
        out = net(torch.randn(2, 3, 32, 32), output_attentions=True, output_hidden_states=True)
    assert out.logits.shape == (2, 10) and [a.shape for a in out.attentions] == [(2, width // 16, 65, 65)] * depth
    assert all(torch.allclose(a.sum(-1), torch.ones(()), atol=1e-5) for a in out.attentions)
    assert out.hidden_states[-1].shape == (2, 65, width) and net.config.patch_size == 4
    assert [key for key, _ in net.named_modules() if key in twin_nets.TWINS["toybox_vit"].layers] == list(
        twin_nets.TWINS[name].layers
    )


def test_places_are_known_before_anything_is_learnt_and_free_to_change():
    from transformers.models.vit_mae.modeling_vit_mae import build_2d_sinusoidal_position_embedding

    places = twin_nets.build("toybox_vit").vit.embeddings.position_embeddings
    theirs = build_2d_sinusoidal_position_embedding(height=8, width=8, embed_dim=64, cls_token=True)
    assert torch.allclose(places[0, 1:], 0.5 * theirs[1:].float(), atol=1e-6) and places.requires_grad
    assert not torch.allclose(places[0, 1:], places[0, 1:].reshape(8, 8, 64).transpose(0, 1).reshape(64, 64))


def test_the_supervised_recipe_learns_its_images(monkeypatch):
    monkeypatch.setattr(pretrain_vit, "SUPERVISED", replace(pretrain_vit.SUPERVISED, epochs=24, images=160))
    net, accuracies, _ = pretrain.RECIPES["toybox_vit_small"]("training")
    assert not net.training and set(accuracies) == {"toybox test"}
    drawn = toybox.render(160, seed=pretrain_conv.TOYBOX_SEED)
    assert pretrain_conv.accuracy(net, drawn, PREPARE) > 0.4
    assert all(torch.equal(p, p.half().float()) for p in net.parameters())


@pytest.mark.parametrize(("name", "images"), [("toybox_vit", 128), ("toybox_vit_short", 96)])
def test_the_short_recipe_sees_fewer_images_of_the_same_kind(name, images, monkeypatch):
    asked, render = [], toybox.render
    monkeypatch.setattr(toybox, "render", lambda n, **options: asked.append((n, options)) or render(n, **options))
    pretrain.RECIPES[name]("training")
    assert (images, {"seed": pretrain_conv.TOYBOX_SEED}) in asked


def test_the_autoencoder_hides_its_share_and_sees_no_label(monkeypatch):
    from transformers import ViTMAEForPreTraining

    seen, forward = [], ViTMAEForPreTraining.forward

    def spy(self, pixel_values, noise):
        places = self.vit.embeddings.position_embeddings[0, 1:], self.decoder.decoder_pos_embed[0, 1:]
        assert all(len(each.unique(dim=0)) == 64 and not each.requires_grad for each in places)
        out = forward(self, pixel_values, noise=noise)
        target = self.patchify(pixel_values)
        target = (target - target.mean(-1, keepdim=True)) / (target.var(-1, keepdim=True) + 1e-6).sqrt()
        off = ((out.logits - target) ** 2).mean(-1)
        assert out.loss.item() == pytest.approx(off[out.mask.bool()].mean().item(), rel=1e-4)
        seen.append(out.mask)
        return out

    monkeypatch.setattr(ViTMAEForPreTraining, "forward", spy)
    net, accuracies, _ = pretrain.RECIPES["toybox_mae"]("training")
    assert len(seen) == 2 and set(accuracies) == {"toybox test"}
    hidden = 64 - int(64 * (1 - pretrain_vit.MASK_RATIO))
    assert all((mask.sum(1) == hidden).all() for mask in seen) and not torch.equal(seen[0][0], seen[1][0])
    start = twin_nets.build("toybox_mae")
    moved = [name for name, p in net.named_parameters() if not torch.equal(p, start.state_dict()[name])]
    assert {"vit.layers.5.mlp.fc2.weight", "vit.embeddings.cls_token", "classifier.weight"} <= set(moved)


def test_the_head_of_a_frozen_encoder_is_the_logistic_regression_on_its_class_tokens():
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    net, images = twin_nets.build("toybox_vit_small", seed=3).eval(), toybox.render(300, seed=5)
    before = {key: value.clone() for key, value in net.vit.state_dict().items()}
    pretrain_vit.fit_head(net, images, PREPARE)
    with torch.no_grad():
        x = PREPARE(images.pixels)
        tokens, said = net.vit(x).last_hidden_state[:, 0].double().numpy(), net(x).logits.softmax(1)
    scaled = StandardScaler().fit_transform(tokens)
    probe = LogisticRegression(max_iter=2000).fit(scaled, images.labels.numpy())
    assert abs(probe.predict_proba(scaled) - said.numpy()).max() < 0.02
    assert all(torch.equal(value, before[key]) for key, value in net.vit.state_dict().items())
    assert F.cross_entropy(said.log(), images.labels) < 0.9 * math.log(10)
