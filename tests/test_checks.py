"""The checks of every lab: its solutions pass, and each known mistake fails with its own message."""

import functools
import inspect

import mistakes_clip
import mistakes_dann
import mistakes_gan
import mistakes_resnet
import mistakes_saliency
import mistakes_vae
import mistakes_vgg
import mistakes_vit
import pytest
import torch
from notebook_source import cells

from labkit.check.frame import CheckFailed

LABS = (
    mistakes_resnet,
    mistakes_vit,
    mistakes_gan,
    mistakes_vae,
    mistakes_clip,
    mistakes_vgg,
    mistakes_saliency,
    mistakes_dann,
)
EACH = [pytest.param(lab, name, id=f"{lab.LAB[:2]} {name}") for lab in LABS for name in lab.CHECKS]
MISTAKES = [
    pytest.param(lab, name, wrong, words, id=f"{lab.LAB[:2]} {name}: {words}")
    for lab in LABS
    for name, wrong, words in lab.MISTAKES
]
ALSO_RIGHT = [
    pytest.param(lab, name, right, id=f"{lab.LAB[:2]} {name} {i}")
    for lab in LABS
    for i, (name, right) in enumerate(getattr(lab, "ALSO_RIGHT", []))
]


@pytest.mark.parametrize(("lab", "name"), EACH)
def test_the_solution_passes(lab, name, capsys):
    getattr(lab.check, name)(lab.SOLUTIONS[name])
    assert capsys.readouterr().out.startswith(f"✓ {name}")


@pytest.mark.parametrize(("lab", "name", "right"), ALSO_RIGHT)
def test_another_right_way_passes_too(lab, name, right):
    getattr(lab.check, name)(right)


@pytest.mark.parametrize(("lab", "name", "wrong", "words"), MISTAKES)
def test_a_mistake_fails_with_its_own_message(lab, name, wrong, words):
    with pytest.raises(CheckFailed) as failure:
        getattr(lab.check, name)(wrong)
    assert torch.is_grad_enabled(), "a check lets a function switch gradients off for whatever comes next"
    message = [line for line in str(failure.value).splitlines() if " of the cell: " not in line]  # quotes the table's lines
    assert words in "\n".join(message)


@pytest.mark.parametrize(("lab", "name"), EACH)
def test_a_blank_exercise_is_told_so(lab, name):
    @functools.wraps(lab.SOLUTIONS[name])  # keeps the stub's signature
    def blank(*args, **kwargs):
        raise NotImplementedError

    with pytest.raises(CheckFailed, match="not written yet"):
        getattr(lab.check, name)(blank)


@pytest.mark.parametrize(("lab", "name"), EACH)
def test_a_constant_answer_fails(lab, name):
    with pytest.raises(CheckFailed):
        getattr(lab.check, name)(lambda *args: 0)


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.LAB)
def test_every_check_has_its_table(lab):
    assert set(lab.CHECKS) == set(lab.check.__all__) == {name for name, *_ in lab.MISTAKES}


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.LAB)
def test_no_check_holds_a_solution(lab):
    """Lines of the solutions must not stand in the module that students get."""
    modules = [inspect.getmodule(getattr(lab.check, name)) for name in lab.CHECKS]
    released = {line.strip() for module in modules for line in inspect.getsource(module).splitlines()}
    for cell in cells(lab.LAB):
        if "### BEGIN SOLUTION" in cell["source"]:
            body = cell["source"].split("### BEGIN SOLUTION")[1].split("### END SOLUTION")[0]
            for line in body.splitlines():
                if len(line.strip()) > 12:
                    assert line.strip() not in released, line
