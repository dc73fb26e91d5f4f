"""Every real lab through the grader: solutions get full marks in the sandbox, and the rebuilt notebook runs to its end."""

import pytest
from notebook_source import LABS, NOTEBOOKS
from test_grading_sandbox import lacking

from labkit.grading.backends import BACKENDS, Limits
from labkit.grading.parts import parts_of
from labkit.grading.rerun import rerun
from labkit.grading.score import score
from labkit.grading.source import read_source
from labkit.handout.release import release

pytestmark = [pytest.mark.skipif(bool(lacking()), reason=lacking() or "-"), pytest.mark.timeout(1800)]


@pytest.fixture(scope="module", params=LABS)
def lab(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("student") / "folder"
    release([NOTEBOOKS / f"{request.param}.ipynb"], folder)
    source = read_source(NOTEBOOKS / f"{request.param}.ipynb")
    return source, folder, {exercise.grade_id: exercise.solution for exercise in source.exercises}


def test_solutions_get_full_marks_in_the_sandbox(lab):
    source, folder, solutions = lab
    parts, backend = parts_of(source.topic), BACKENDS["bwrap"]
    results = score(source, solutions, parts, seed=11, backend=backend, release=folder, limits=Limits(60.0))
    assert [(each.grade_id, each.status, each.marks) for each in results] == [
        (exercise.grade_id, "right", exercise.points) for exercise in source.exercises
    ]


@pytest.mark.whole
def test_the_reference_notebook_runs_to_its_end_in_the_sandbox(lab):
    source, folder, solutions = lab
    done = rerun(source, solutions, backend=BACKENDS["bwrap"], release=folder)
    assert done.status == "ok", done
    assert len(done.claims) >= 6


BY_CLASS = """
def no_skip(block, x):
    from torchvision.models.resnet import BasicBlock, Bottleneck

    out = block.bn2(block.conv2(block.relu(block.bn1(block.conv1(x)))))
    if isinstance(block, BasicBlock):
        return block.relu(out)
    assert isinstance(block, Bottleneck)
    return block.relu(block.bn3(block.conv3(block.relu(out))))
"""


def test_an_answer_may_ask_for_the_classes_of_torchvision(tmp_path):
    """Adapters avoid importing it, as that takes seconds."""
    release([NOTEBOOKS / "01_resnet_transfer.ipynb"], tmp_path / "student")
    source = read_source(NOTEBOOKS / "01_resnet_transfer.ipynb")
    parts, backend = parts_of(source.topic), BACKENDS["bwrap"]
    written = {"no-skip": BY_CLASS}
    results = score(source, written, parts, seed=1, backend=backend, release=tmp_path / "student", limits=Limits(60.0))
    assert {each.grade_id: each.status for each in results}["no-skip"] == "right"
