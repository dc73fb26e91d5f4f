"""The functions of lab 04, pulled out of the notebook, against independent references."""

import math

import pytest
import torch
from notebook_source import namespace
from torch.distributions import Normal, kl_divergence

LAB = "04_vae_posterior_collapse"
EXERCISES = ("reparameterise", "neg-elbo", "active-units", "ppca", "beta-eff", "free-bits", "knock-out")
F64 = torch.float64


@pytest.fixture(scope="module")
def lab():
    return namespace(LAB, *EXERCISES)


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def test_samples_have_the_mean_and_variance_asked_for(lab):
    z = lab["reparameterise"](torch.tensor(2.0, dtype=F64), torch.tensor(-1.0, dtype=F64), draw(400_000))
    assert z.mean().item() == pytest.approx(2.0, abs=5e-3)
    assert z.var().item() == pytest.approx(math.exp(-1), rel=1e-2)


def test_kl_agrees_with_torch_distributions(lab):
    x, mu, logvar = torch.zeros(7, 1, 2, 2, dtype=F64), draw(7, 5), draw(7, 5, seed=1)
    _, kl = lab["neg_elbo"](x, x, mu, logvar, torch.tensor(1.0, dtype=F64))
    assert torch.allclose(kl, kl_divergence(Normal(mu, (logvar / 2).exp()), Normal(torch.zeros_like(mu), 1.0)))


def test_kl_agrees_with_monte_carlo(lab):
    x, mu, logvar = torch.zeros(1, 1, 1, 1, dtype=F64), torch.tensor([[0.7]], dtype=F64), torch.tensor([[-0.4]], dtype=F64)
    _, kl = lab["neg_elbo"](x, x, mu, logvar, torch.tensor(1.0, dtype=F64))
    q = Normal(mu, (logvar / 2).exp())
    z = lab["reparameterise"](mu, logvar, draw(1_000_000, 1))
    estimate = (q.log_prob(z) - Normal(torch.zeros_like(mu), 1.0).log_prob(z)).mean()
    assert kl.item() == pytest.approx(estimate.item(), abs=5e-3)


def test_bound_touches_the_likelihood_at_the_optimum_of_a_linear_vae(lab):
    """pPCA: with x = W z + noise and the exact posterior as encoder, -ELBO is the negative log-likelihood itself."""
    w, sigma2 = draw(4, 2), 0.3
    x = draw(50, 4, seed=1)
    precision = w.T @ w / sigma2 + torch.eye(2, dtype=F64)
    covariance = torch.linalg.inv(precision)
    # rotate the latent space so that the exact posterior is diagonal, as the encoder's is
    _, rotation = torch.linalg.eigh(covariance)
    w = w @ rotation
    variance = torch.diagonal(rotation.T @ covariance @ rotation)
    mu = (x @ w / sigma2) * variance
    logvar = variance.log().expand_as(mu)
    n = 20_000
    eps = draw(n, 50, 2, seed=2)
    z = lab["reparameterise"](mu, logvar, eps)
    images, rebuilt = x.expand(n, 50, 4).unflatten(-1, (1, 2, 2)), (z @ w.T).unflatten(-1, (1, 2, 2))
    bound, _ = lab["neg_elbo"](images, rebuilt, mu, logvar, torch.tensor(sigma2, dtype=F64))
    marginal = torch.distributions.MultivariateNormal(torch.zeros(4, dtype=F64), w @ w.T + sigma2 * torch.eye(4, dtype=F64))
    assert bound.mean().item() == pytest.approx(-marginal.log_prob(x).mean().item(), rel=2e-3)


def test_linear_vae_trained_by_gradient_finds_the_predicted_units_and_nats(lab):
    """Ten directions of known variance; the closed form says which are worth their nats."""
    variances = torch.tensor([4.0, 2.0, 1.0, 0.5, 0.05, 0.04, 0.03, 0.02, 0.01, 0.01])
    sigma2, k = 0.2, 8
    data = torch.randn(4000, 10, generator=torch.Generator().manual_seed(0)) * variances.sqrt()
    torch.manual_seed(0)
    encoder, decoder = torch.nn.Linear(10, 2 * k), torch.nn.Linear(k, 10)
    opt = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-2)
    noise = torch.Generator().manual_seed(1)
    for _ in range(1200):
        x = data[torch.randint(4000, (256,), generator=noise)]
        mu, logvar = encoder(x).chunk(2, -1)
        x_hat = decoder(lab["reparameterise"](mu, logvar, torch.randn(mu.shape, generator=noise)))
        loss, _ = lab["neg_elbo"](x[:, None, None], x_hat[:, None, None], mu, logvar, torch.tensor(sigma2))
        opt.zero_grad()
        loss.mean().backward()
        opt.step()
    with torch.no_grad():
        mu, logvar = encoder(data).chunk(2, -1)
        _, kl = lab["neg_elbo"](data[:, None, None], data[:, None, None], mu, logvar, torch.tensor(sigma2))
    units, nats = lab["ppca_prediction"](torch.linalg.eigvalsh(torch.cov(data.T)), sigma2, k)
    assert units == 4
    assert int((kl.mean(0) > 0.05).sum()) == units
    assert int(lab["active_units"](mu, 0.05)) == units
    assert kl.sum(1).mean().item() == pytest.approx(nats, rel=0.05)


def test_prediction_counts_no_more_units_than_there_are(lab):
    assert lab["ppca_prediction"](torch.tensor([5.0, 4.0, 3.0]), 1.0, 2) == (2, pytest.approx(0.5 * math.log(20)))


def test_the_reports_loss_has_the_gradient_of_the_clean_loss_with_beta_eff(lab):
    d, b = 784, 32
    x_hat, mu = draw(b, d).requires_grad_(), draw(b, 3, seed=1).requires_grad_()

    def gradients(loss):
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, (x_hat, mu))])

    def kl():
        return 0.5 * mu.square().sum(1)

    report = gradients(torch.nn.functional.mse_loss(x_hat, torch.zeros_like(x_hat)) + kl().mean() / b)
    clean = gradients((x_hat.square().sum(1) + lab["beta_eff"](d, b) * kl()).mean())
    assert torch.allclose(report * d, clean)


def test_free_bits_never_pays_less_than_the_floor_and_equals_kl_above_it(lab):
    kl = draw(16, 6).square() + 0.5
    assert torch.allclose(lab["free_bits"](kl, 0.1), kl.mean(0).sum())
    assert lab["free_bits"](torch.zeros(16, 6, dtype=F64), 0.1).item() == pytest.approx(0.6)


def test_knock_out_is_zero_for_a_unit_that_the_decoder_ignores_and_large_for_one_it_needs(lab):
    z = draw(300, 2)
    decode = lambda code: torch.stack([code[..., 0]] * 4, -1).unflatten(-1, (1, 2, 2))  # noqa: E731
    order = torch.randperm(300, generator=torch.Generator().manual_seed(0))
    rise = lab["knock_out"](decode, z, decode(z), order)
    assert rise[1].item() == 0
    assert rise[0].item() == pytest.approx(4 * (z[:, 0] - z[order, 0]).square().mean().item())


def test_the_full_profile_net_is_the_assignments(lab, monkeypatch):
    from types import SimpleNamespace

    scope = dict(lab)
    scope["cfg"] = SimpleNamespace(data="fashion_mnist", net="conv", latent=20)
    scope["x_test"], scope["n_pixels"] = torch.zeros(2, 1, 28, 28), 784
    source = {c["id"]: c["source"] for c in __import__("notebook_source").cells(LAB)}["nets"]
    exec(source, scope)
    encoder, decoder = scope["make_encoder"](), scope["make_decoder"]()
    assert encoder(scope["x_test"]).shape == (2, 40) and decoder(torch.zeros(2, 20)).shape == (2, 1, 28, 28)
    channels = [m.out_channels for m in encoder if isinstance(m, torch.nn.Conv2d)]
    assert channels == [32, 64] and isinstance(decoder[-1], torch.nn.Sigmoid)
    assert [m.out_features for m in encoder if isinstance(m, torch.nn.Linear)] == [256, 40]
