"""Lab 04: solutions, and known mistakes with the words that each must be told (see test_checks.py)."""

import math

import torch
from notebook_source import namespace

from labkit.check import vae as check  # noqa: F401 - read by test_checks.py

LAB = "04_vae_posterior_collapse"
SOLUTIONS = namespace(LAB, "reparameterise", "neg-elbo", "active-units", "ppca", "beta-eff", "free-bits", "knock-out")
CHECKS = ["reparameterise", "neg_elbo", "active_units", "ppca_prediction", "beta_eff", "free_bits", "knock_out"]


def elbo(kl=None, nll=None, total=None):
    """A wrong `neg_elbo` made from the right one by replacing one of its parts."""

    def f(x, x_hat, mu, logvar, sigma2):
        sse = (x - x_hat).square().flatten(-3).sum(-1)
        n = x.shape[-1] * x.shape[-2] * x.shape[-3]
        units = (kl or (lambda m, v: 0.5 * (m**2 + v.exp() - 1 - v)))(mu, logvar)
        rec = (nll or (lambda e, s, d: e / (2 * s) + d / 2 * torch.log(2 * math.pi * s)))(sse, sigma2, n)
        return (total or (lambda r, u: r + u.sum(-1)))(rec, units), units

    return f


def out_of_place(f):
    """Wrap a wrong `knock_out` that maps (error, decode, z, x, order, k) to the k-th error after knocking out."""

    def g(decode, z, x, order):
        def error(code):
            return (x - decode(code)).square().flatten(-3).sum(-1).mean(-1)

        return torch.stack([f(error, z, order, k) for k in range(z.shape[-1])], -1)

    return g


def zeroed(error, z, order, k):
    broken = z.clone()
    broken[..., k] = 0
    return error(broken) - error(z)


def shuffled(error, z, order, k):
    broken = z.clone()
    broken[..., k] = z[..., order, k]
    return error(broken)


def averaged(error, z, order, k):
    broken = z.clone()
    broken[..., k] = z[..., k].mean(-1, keepdim=True)
    return error(broken) - error(z)


def output_change(decode, z, x, order):
    broken = [torch.cat([z[..., :k], z[..., order, k : k + 1], z[..., k + 1 :]], -1) for k in range(z.shape[-1])]
    return torch.stack([(decode(z) - decode(b)).square().flatten(-3).sum(-1).mean(-1) for b in broken], -1)


def one_net(decode, z, x, order):
    """Right for (N, K), wrong for stacked nets."""
    base, rises = (x - decode(z)).square().flatten(1).sum(1).mean(), []
    for k in range(z.shape[1]):
        broken = z.clone()
        broken[:, k] = z[order, k]
        rises.append((x - decode(broken)).square().flatten(1).sum(1).mean() - base)
    return torch.stack(rises)


def kept_broken(decode, z, x, order):
    broken, rises = z.clone(), []
    base = (x - decode(z)).square().flatten(-3).sum(-1).mean(-1)
    for k in range(z.shape[-1]):
        broken[..., k] = z[..., order, k]
        rises.append((x - decode(broken)).square().flatten(-3).sum(-1).mean(-1) - base)
    return torch.stack(rises, -1)


def in_place(decode, z, x, order):
    right = SOLUTIONS["knock_out"](decode, z, x, order)
    z[..., 0] = z[..., order, 0]
    return right


MISTAKES = [
    ("reparameterise", lambda mu, logvar, eps: mu + logvar.exp() * eps, "exp(logvar) is the variance"),
    ("reparameterise", lambda mu, logvar, eps: mu + logvar * eps, "logvar itself was used"),
    ("reparameterise", lambda mu, logvar, eps: mu + eps, "without scaling"),
    ("reparameterise", lambda mu, logvar, eps: mu, "the noise was not used"),
    ("reparameterise", lambda mu, logvar, eps: mu - (logvar / 2).exp() * eps, "subtracted"),
    ("reparameterise", lambda mu, logvar, eps: mu + (2 * logvar).exp() * eps, "the half belongs inside"),
    ("reparameterise", lambda mu, logvar, eps: mu + logvar.exp() / 2 * eps, "halves the variance"),
    ("reparameterise", lambda mu, logvar, eps: mu + logvar.sqrt() * eps, "the root was taken of logvar"),
    ("reparameterise", lambda mu, logvar, eps: mu + (logvar / 2).exp() * torch.randn_like(mu), "draws noise of its own"),
    ("reparameterise", lambda mu, logvar, eps: (mu + (logvar / 2).exp() * eps).detach(), "a detach()"),
    ("reparameterise", lambda mu, logvar, eps: mu.add_((logvar / 2).exp() * eps), "an operation in place"),
    ("reparameterise", lambda mu, logvar, eps: None, "no return statement"),
    ("reparameterise", lambda m, v, e: m + (v / 2).exp() * e, "keep the first line of the stub"),
    ("neg_elbo", elbo(kl=lambda m, v: m**2 + v.exp() - 1 - v), "the factor 1/2 is missing"),
    ("neg_elbo", elbo(kl=lambda m, v: -0.5 * (m**2 + v.exp() - 1 - v)), "the sign is turned"),
    ("neg_elbo", elbo(kl=lambda m, v: 0.5 * (m**2 + (2 * v).exp() - 1 - 2 * v)), "taken for the standard deviation's"),
    ("neg_elbo", elbo(kl=lambda m, v: 0.5 * (v + (1 + m**2) / v.exp() - 1)), "the wrong way round"),
    ("neg_elbo", elbo(nll=lambda e, s, d: e / (2 * s)), "the normalising constant"),
    ("neg_elbo", elbo(nll=lambda e, s, d: e / (2 * s) + d * torch.log(2 * math.pi * s)), "the half is missing in D/2"),
    ("neg_elbo", elbo(nll=lambda e, s, d: e / (2 * s) + 6 * d / 2 * torch.log(2 * math.pi * s)), "not of the batch"),
    ("neg_elbo", elbo(nll=lambda e, s, d: e / (2 * s) + 5 / 2 * torch.log(2 * math.pi * s)), "not of latent units"),
    ("neg_elbo", elbo(nll=lambda e, s, d: e / (2 * s) + 0.5 * torch.log(2 * math.pi * s)), "each of the D pixels"),
    ("neg_elbo", elbo(nll=lambda e, s, d: e / (2 * s**2) + d / 2 * torch.log(2 * math.pi * s)), "do not square it"),
    ("neg_elbo", elbo(nll=lambda e, s, d: e + d / 2 * torch.log(2 * math.pi * s)), "not divided by 2 sigma^2"),
    ("neg_elbo", elbo(nll=lambda e, s, d: e / s + d / 2 * torch.log(2 * math.pi * s)), "the 2 is missing"),
    ("neg_elbo", elbo(nll=lambda e, s, d: e / d / (2 * s) + d / 2 * torch.log(2 * math.pi * s)), "averaged over the pixels"),
    ("neg_elbo", elbo(total=lambda r, u: r + u.mean(-1)), "averaged over the units"),
    ("neg_elbo", elbo(total=lambda r, u: -(r + u.sum(-1))), "the ELBO itself"),
    ("neg_elbo", elbo(total=lambda r, u: r - u.sum(-1)), "the KL was subtracted"),
    ("neg_elbo", elbo(total=lambda r, u: r), "the KL is missing"),
    ("neg_elbo", elbo(total=lambda r, u: (r + u.sum(-1)).mean()), "the batch was averaged"),
    ("neg_elbo", elbo(total=lambda r, u: (r + u.sum(-1)).sum()), "the batch was summed"),
    ("neg_elbo", lambda x, x_hat, mu, logvar, sigma2: mu.sum(), "a pair"),
    ("neg_elbo", lambda x, x_hat, mu, logvar, sigma2: (
        (x - x_hat).square().flatten(1).sum(1) / (2 * sigma2) + 8 * torch.log(2 * math.pi * sigma2)
        + 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1), 0.5 * (mu**2 + logvar.exp() - 1 - logvar)), "for stacked nets"),
    ("active_units", lambda mu, threshold: (mu.mean(-2).abs() > threshold).sum(-1), "no sign of a dead unit"),
    ("active_units", lambda mu, threshold: (mu.std(-2) > threshold).sum(-1), "the standard deviation was compared"),
    ("active_units", lambda mu, threshold: (mu.square().mean(-2) > threshold).sum(-1), "not the mean square"),
    ("active_units", lambda mu, threshold: (mu.var(-2) > threshold).sum(), "counted together"),
    ("active_units", lambda mu, threshold: (mu.var(-2) > threshold).double().mean(-1), "the share of active units"),
    ("active_units", lambda mu, threshold: mu.var(-2) > threshold, "a mask"),
    ("active_units", lambda mu, threshold: (mu.var(-1) > threshold).sum(-1), "over the units"),
    ("ppca_prediction", lambda eigenvalues, sigma2, latent: (len(eigenvalues), 0.0), "below the noise were counted"),
    ("ppca_prediction", lambda eigenvalues, sigma2, latent: (
        int((eigenvalues > sigma2).sum()),
        SOLUTIONS["ppca_prediction"](eigenvalues, sigma2, latent)[1]), "there are only 2 units"),
    ("ppca_prediction", lambda eigenvalues, sigma2, latent: (
        SOLUTIONS["ppca_prediction"](eigenvalues, sigma2, latent)[0],
        2 * SOLUTIONS["ppca_prediction"](eigenvalues, sigma2, latent)[1]), "the factor 1/2 is missing"),
    ("ppca_prediction", lambda eigenvalues, sigma2, latent: (
        SOLUTIONS["ppca_prediction"](eigenvalues, sigma2, latent)[0],
        0.5 * float(torch.log(eigenvalues / sigma2).sum())), "their logarithm is negative"),
    ("ppca_prediction", lambda eigenvalues, sigma2, latent: (
        SOLUTIONS["ppca_prediction"](eigenvalues, sigma2, latent)[0],
        SOLUTIONS["ppca_prediction"](eigenvalues, sigma2, latent)[1] / math.log(2)), "base 2"),
    ("ppca_prediction", lambda eigenvalues, sigma2, latent: SOLUTIONS["ppca_prediction"](
        eigenvalues[:latent], sigma2, latent), "sort them"),
    ("ppca_prediction", lambda eigenvalues, sigma2, latent: SOLUTIONS["ppca_prediction"](
        eigenvalues.sort().values[:latent], sigma2, latent), "these are the smallest"),
    ("ppca_prediction", lambda eigenvalues, sigma2, latent: (
        SOLUTIONS["ppca_prediction"](eigenvalues, sigma2, latent)[0],
        0.5 * float(eigenvalues.sort(descending=True).values[:latent].log().sum())), "divided by sigma^2"),
    ("beta_eff", lambda n_pixels, batch_size: n_pixels // batch_size, "rounds down"),
    ("beta_eff", lambda n_pixels, batch_size: 2 * n_pixels / batch_size, "no factor 2"),
    ("beta_eff", lambda n_pixels, batch_size: batch_size / n_pixels, "its inverse"),
    ("beta_eff", lambda n_pixels, batch_size: n_pixels, "only the pixels"),
    ("beta_eff", lambda n_pixels, batch_size: 1 / batch_size, "only the batch"),
    ("beta_eff", lambda n_pixels, batch_size: 1 / (n_pixels * batch_size), "both divide"),
    ("beta_eff", lambda n_pixels, batch_size: n_pixels * batch_size, "both multiply"),
    ("beta_eff", lambda n_pixels, batch_size: 6.125, "by autograd"),
    ("free_bits", lambda kl, floor: kl.clamp_min(floor).sum(-1).mean(-1), "applied to single images"),
    ("free_bits", lambda kl, floor: kl.mean(-2).sum(-1).clamp_min(floor), "applied to the sum over units"),
    ("free_bits", lambda kl, floor: kl.mean(-2).clamp_max(floor).sum(-1), "min in place of max"),
    ("free_bits", lambda kl, floor: (kl.mean(-2) + floor).sum(-1), "the floor was added"),
    ("free_bits", lambda kl, floor: kl.mean(-2).clamp_min(floor).mean(-1), "the units were averaged"),
    ("free_bits", lambda kl, floor: (kl.mean(-2) - floor).clamp_min(0).sum(-1), "the floor was subtracted"),
    ("free_bits", lambda kl, floor: torch.maximum(kl.mean(-2), torch.as_tensor(floor).flatten()[0]).sum(), "for stacked nets"),
    ("knock_out", out_of_place(zeroed), "set to zero"),
    ("knock_out", out_of_place(shuffled), "subtract the error"),
    ("knock_out", out_of_place(lambda error, z, order, k: error(z) - shuffled(error, z, order, k)), "the sign is turned"),
    ("knock_out", out_of_place(averaged), "set to its mean"),
    ("knock_out", out_of_place(lambda error, z, order, k: error(z[..., order, :]) - error(z)), "shuffled together"),
    ("knock_out", output_change, "the change of the output"),
    ("knock_out", one_net, "for stacked nets"),
    ("knock_out", lambda decode, z, x, order: SOLUTIONS["knock_out"](decode, z, x, order).flatten(0, -2).mean(0)
     if z.ndim > 2 else SOLUTIONS["knock_out"](decode, z, x, order), "for stacked nets"),
    ("knock_out", kept_broken, "were not restored"),
    ("knock_out", in_place, "an operation in place"),
    ("knock_out", lambda decode, z, x, order: SOLUTIONS["knock_out"](decode, z, x, order) / 4, "averaged over the pixels"),
]  # fmt: skip

#: Rows whose mistake changes no value that a submission gives; the checks see them
UNSEEN_BY_GRADING = {("reparameterise", "keep the first line of the stub"): "arguments go in by place"}
