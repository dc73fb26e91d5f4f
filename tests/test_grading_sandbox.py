"""What students wrote, run by the grader: right answers get their marks, tricks get none, and nothing of them survives."""

import json
import socket
import subprocess
import threading
import uuid
from pathlib import Path

import psutil
import pytest
import sabotage
import small_lab
from notebook_source import NOTEBOOKS

from labkit.grading import score as score_module
from labkit.grading.backends import BACKENDS, Bubblewrap, Limits, NoSandbox, Place
from labkit.grading.parts import parts_of
from labkit.grading.rerun import WHOLE, rerun
from labkit.grading.sandbox import Lost, Sandbox
from labkit.grading.score import BadArtefact, arrays_of, score
from labkit.grading.source import read_source
from labkit.handout.release import release

QUICK = Limits(seconds=20.0, memory=2**30, processes=24, output=4 * 2**20, disk=64 * 2**20)


def lacking():
    try:
        BACKENDS["bwrap"].require()
    except NoSandbox as error:
        return str(error)
    return ""


pytestmark = [pytest.mark.skipif(bool(lacking()), reason=lacking() or "-"), pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("book")
    notebook = small_lab.workbook(folder / "workbook")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABKIT_HOME", str(folder / "workbook"))
        release([notebook], folder / "student")
    return read_source(notebook), folder / "student"


def scored(lab, limits=QUICK, backend="bwrap", **written):
    source, folder = lab
    taken = {name: small_lab.solution(name) for name in small_lab.EXERCISES} | {
        name.replace("_", "-"): text for name, text in written.items()
    }
    results = score(source, taken, parts_of(source.topic), seed=5, backend=BACKENDS[backend], release=folder, limits=limits)
    return {result.grade_id: result for result in results}


def left_over():
    """Processes of the grader's insides that still run a minute later: those of tests beside this one are gone by then."""
    found = [each for each in psutil.process_iter(["cmdline"]) if "labkit.adapters" in " ".join(each.info["cmdline"] or [])]
    _, alive = psutil.wait_procs(found, timeout=60)
    return [each for each in alive if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture
def outside(tmp_path):
    """A place that must stay empty, and a listener that must hear nothing."""
    server, heard = socket.create_server(("127.0.0.1", 0)), []
    server.settimeout(0.2)

    def listen():
        while True:
            try:
                heard.append(server.accept())
            except TimeoutError:
                continue
            except OSError:
                return

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    beacon = Path("/tmp") / f"labkit-beacon-{uuid.uuid4().hex}"
    yield beacon, server.getsockname()[1], heard
    server.close()
    thread.join()
    assert not heard, "something got out over the network"
    assert not beacon.exists(), "something was written outside"
    assert not left_over()


@pytest.mark.parametrize("trick", sabotage.TRICKS)
def test_a_trick_gets_no_marks_and_nothing_of_it_survives(lab, outside, trick):
    beacon, port, _ = outside
    code, statuses = sabotage.TRICKS[trick]
    code = code.replace("BEACON", str(beacon)).replace("PORT", str(port)).replace("SOURCE", str(Path(__file__).parents[1]))
    limits = Limits(3.0, QUICK.memory, QUICK.processes, QUICK.output, QUICK.disk) if "timeout" in statuses else QUICK
    results = scored(lab, limits, ramp=code)
    assert results["ramp"].status in statuses, results["ramp"]
    assert results["ramp"].marks == 0
    assert results["proxy-a-distance"].status == results["pseudo-labels"].status == "right", "the next exercises were scored"


@pytest.mark.parametrize("litter", sabotage.LITTER)
def test_a_right_answer_keeps_its_marks_but_nothing_it_left(lab, outside, litter):
    code = sabotage.LITTER[litter].replace("BEACON", str(outside[0]))
    assert scored(lab, ramp=code)["ramp"].status in ("right", "dead")


def test_solutions_get_full_marks(lab):
    assert all(result.status == "right" and result.marks == result.points for result in scored(lab).values())


def test_credit_goes_by_case(lab):
    source = (
        "def pseudo_labels(logits, threshold):\n    p, labels = logits.softmax(-1).max(-1)\n    return labels, p > threshold"
    )
    result = scored(lab, pseudo_labels=source)["pseudo-labels"]
    assert result.status == "wrong" and 0 < result.marks < result.points
    assert [case.name for case in result.cases if not case.right] == ["a probability of just the threshold is kept"]


@pytest.mark.parametrize(
    ("written", "status", "words"),
    [
        ("def ramp(progress, gamma=10.0):\n    raise NotImplementedError", "blank", "not written yet"),
        ("", "blank", "not written yet"),
        ("def ramp(progress, gamma=10.0)\n    return 0", "wrong", "no Python"),
        ("%%bash\necho ramp", "wrong", ""),
        (f"def ramp(progress, gamma=10.0):\n    return 0\n#{'x' * 200_000}", "wrong", "at most 100000 are read"),
        ("def rampe(progress, gamma=10.0):\n    return 0", "wrong", ""),
        ("def ramp(progress, gamma=10.0):\n    return no_such_name", "wrong", ""),
    ],
)
def test_what_is_no_answer_is_told_so(lab, written, status, words):
    result = scored(lab, ramp=written)["ramp"]
    assert (result.status, result.marks) == (status, 0) and words in result.message


@pytest.mark.parametrize(
    ("above", "below"),
    [
        ("%%time\n", ""),
        ("", "\n%timeit ramp(0.5)\n!ls"),
        ("", "\nprint(ramp(0.5), what_only_the_whole_notebook_has)"),
        ("outputs = 3\n", "\nraise SystemExit"),
    ],
)
def test_what_else_stands_in_the_cell_of_a_right_function_costs_nothing(lab, above, below):
    assert scored(lab, ramp=f"{above}{small_lab.solution('ramp')}{below}")["ramp"].status == "right"


PASSED_ON = """
import glob, sys


def ramp(progress, gamma=10.0):
    proxy_a_distance, pseudo_labels
    return 0.5


frame = sys._getframe()
while frame and 'prelude' not in frame.f_locals and 'self' not in frame.f_locals:
    frame = frame.f_back
seen = repr(frame and frame.f_locals) + repr(vars(frame.f_locals['self']) if frame and 'self' in frame.f_locals else '')
for name in ('/tmp/s.py', '/dev/shm/s.py', 's.py', '/lab/desk/s.py'):
    open(name, 'w').write(seen)
"""


def test_a_solution_that_was_lent_is_not_passed_on(lab):
    """An exercise that names the others gets our versions of them; nothing it leaves is there when those are scored."""
    take = "import glob\nassert glob.glob('/tmp/s.py') + glob.glob('/dev/shm/s.py') + glob.glob('/lab/desk/s.py')"
    results = scored(lab, ramp=PASSED_ON, proxy_a_distance=take, pseudo_labels=take)
    assert [result.marks for result in results.values()] == [0, 0, 0]
    faults = {case.fault for name in ("proxy-a-distance", "pseudo-labels") for case in results[name].cases}
    assert faults == {"AssertionError"}
    told = scored(lab, ramp="def ramp(progress, gamma=10.0):\n    raise ValueError(pseudo_labels.__doc__)")["ramp"]
    assert {case.fault for case in told.cases} == {"ValueError"}, "nor told in the feedback"


def test_a_solution_comes_along_only_where_nobody_can_use_it_any_more(lab, monkeypatch):
    """Lent a later exercise's solution, an exercise has a sandbox of its own; an earlier one's can stay with the others."""
    started = []

    class Counted(score_module.Sandbox):
        def __init__(self, *given):
            started.append(1)
            super().__init__(*given)

    monkeypatch.setattr(score_module, "Sandbox", Counted)
    leans = "def proxy_a_distance(source_rate, target_rate):\n    OTHER\n    return 2 * (source_rate + target_rate) - 2"
    for other, most in (("ramp", 1), ("pseudo_labels", 2)):
        started.clear()
        assert scored(lab, proxy_a_distance=leans.replace("OTHER", other))["proxy-a-distance"].status == "right"
        assert len(started) == most


def test_what_an_exercise_started_is_gone_when_the_next_one_is_scored(lab):
    alone = "import os\nassert sum(name.isdigit() for name in os.listdir('/proc')) <= 3\n"
    code = sabotage.LITTER["leaves a process behind"]
    results = scored(lab, ramp=code, proxy_a_distance=alone + small_lab.solution("proxy-a-distance"))
    assert results["proxy-a-distance"].status == "right", results["proxy-a-distance"]


def test_who_stops_the_driver_costs_only_time(lab):
    stop = "import os, signal\ndef ramp(progress, gamma=10.0):\n    os.kill(os.getppid(), signal.SIGSTOP)\n    return 0.5"
    long = small_lab.solution("proxy-a-distance") + "\n#" + "x" * 90_000
    results = scored(lab, Limits(3.0, QUICK.memory), ramp=stop, proxy_a_distance=long)
    assert results["ramp"].marks == 0 and results["proxy-a-distance"].status == "right"


def test_half_a_character_breaks_nothing(lab):
    result = scored(lab, ramp="def ramp(progress, gamma=10.0):\n    print('\\ud800')\n    raise ValueError('\\ud800')")["ramp"]
    json.dumps(result.plain(), ensure_ascii=False).encode()
    assert result.status == "wrong"


def test_a_missing_cell_is_blank(lab):
    source, folder = lab
    results = score(source, {}, parts_of(source.topic), seed=0, backend=BACKENDS["bwrap"], release=folder, limits=QUICK)
    assert [result.status for result in results] == ["blank"] * 3 and "not in the notebook" in results[0].message


def test_an_exercise_may_use_set_up_and_another_exercise_which_is_then_ours(lab):
    wrong_first = "def ramp(progress, gamma=10.0):\n    return 0.5"
    leans = "def proxy_a_distance(source_rate, target_rate):\n    assert math.isclose(ramp(1.0), math.tanh(5))\n"
    leans += "    return 2 * (source_rate + target_rate) - 2"
    results = scored(lab, ramp=wrong_first, proxy_a_distance=leans)
    assert results["ramp"].status == "wrong" and results["proxy-a-distance"].status == "right"


def test_only_what_an_exercise_names_comes_along(lab):
    source, _ = lab
    exercise = source.exercises[0]
    assert source.prelude(exercise, "def ramp(p): return math.exp(p)") == ["import math"]
    assert "def pseudo_labels" in "".join(source.prelude(exercise, "def ramp(p): return pseudo_labels(p, 1)"))
    assert source.prelude(exercise, "def ramp(p): return ramp(p)") == []
    assert source.prelude(exercise, "def ramp(p):\n    math = pseudo_labels = p\n    return math") == []


def test_a_local_name_that_the_notebook_has_too_harms_nothing(lab):
    """Functions of a notebook may read what only the whole notebook has."""
    source = next(read_source(path) for path in NOTEBOOKS.glob("08_*.ipynb"))
    written = "def pseudo_labels(logits, threshold):\n    scores = logits.softmax(-1)\n    best, labels = scores.max(-1)\n"
    written += "    fit = make_features = best >= threshold\n    return labels, fit\n"
    leans = "def ramp(progress, gamma=10.0):\n    return fit if progress > 2 else math.tanh(gamma * progress / 2)"
    taken = {"pseudo-labels": written, "ramp": leans}
    results = score(source, taken, parts_of("dann"), seed=0, backend=BACKENDS["bwrap"], release=lab[1], limits=QUICK)
    assert {each.grade_id: each.status for each in results if each.status != "blank"} == dict.fromkeys(taken, "right")


def test_the_code_that_came_along_is_not_left_lying_about(lab):
    look = "import sys\ndef ramp(progress, gamma=10.0):\n    pseudo_labels\n    frame, seen = sys._getframe(), ''\n"
    look += "    while frame:\n        seen += repr(frame.f_locals.get('job')) + repr(frame.f_locals.get('line'))\n"
    look += "        seen += repr(vars(frame.f_locals.get('self'))) if frame.f_locals.get('self') else ''\n"
    look += "        frame = frame.f_back\n    raise KeyError if '.softmax(-1)' in seen else ValueError"
    assert {case.fault for case in scored(lab, ramp=look)["ramp"].cases} == {"ValueError"}


def test_a_failure_of_ours_is_no_zero(lab, tmp_path):
    source, _ = lab
    taken = {name: small_lab.solution(name) for name in small_lab.EXERCISES}
    parts = parts_of(source.topic)
    results = score(source, taken, parts, seed=0, backend=BACKENDS["bwrap"], release=tmp_path, limits=QUICK)
    assert {(result.status, result.marks) for result in results} == {("infrastructure", None)}


def test_without_isolation_the_answers_are_the_same(lab):
    assert all(result.status == "right" for result in scored(lab, backend="none").values())
    assert scored(lab, backend="none", ramp=sabotage.TRICKS["kills itself"][0])["ramp"].status == "dead"
    assert not left_over()


LOOK_AROUND = """
import json, os, re, sys
sys.path.insert(0, sys.argv[2])
import labkit
try:
    import labkit.grading
    grading = True
except ImportError:
    grading = False
files = [os.path.join(folder, name) for root in ('/lab', '/home', '/root', '/work', '/tmp')
         for folder, _, names in os.walk(root) for name in names]
seen = {
    'labkit': labkit.__file__,
    'grading': grading,
    'user': os.getuid(),
    'environ': dict(os.environ),
    'net': os.listdir('/sys/class/net') if os.path.isdir('/sys') else [],
    'processes': len([name for name in os.listdir('/proc') if name.isdecimal()]),
    'labs': [path for path in files if path.endswith('expected.toml') or re.search(r'/\\d\\d_\\w+\\.ipynb$', path)],
}
with open(int(sys.argv[1]), 'w') as channel:
    channel.write(json.dumps(seen) + '\\n')
"""


def test_the_inside_sees_the_released_labkit_and_nothing_else_of_the_project(lab):
    _, folder = lab
    with Sandbox(BACKENDS["bwrap"], LOOK_AROUND, ["/lab/release"], Place({"/lab/release": folder}, QUICK)) as sandbox:
        seen = sandbox.answer(60)
    assert seen["labkit"] == "/lab/release/labkit/__init__.py" and not seen["grading"]
    assert seen["user"] == 1000 and seen["processes"] <= 3 and seen["net"] in ([], ["lo"])
    assert all(path.startswith("/lab/release/notebooks/") for path in seen["labs"])
    assert str(Path(__file__).parents[1] / "notebooks") not in json.dumps(seen)
    assert not {"USER", "SSH_AUTH_SOCK", "LABKIT_HOME", "LABKIT_DATA"} & set(seen["environ"])


def test_who_says_too_much_or_nothing_is_cut_off(lab):
    place = Place({"/lab/release": lab[1]}, QUICK)
    with Sandbox(
        BACKENDS["bwrap"], "import os, sys\nwhile True: os.write(int(sys.argv[1]), b'x' * 10**6)", [], place
    ) as sandbox:
        with pytest.raises(Lost) as lost:
            sandbox.answer(60)
        assert lost.value.reason == "flood"
    with Sandbox(BACKENDS["bwrap"], "import time; time.sleep(100)", [], place) as sandbox:
        with pytest.raises(Lost) as lost:
            sandbox.answer(0.5)
        assert lost.value.reason == "timeout"
    with (
        Sandbox(BACKENDS["bwrap"], "import os, sys; os.write(int(sys.argv[1]), b'[1]\\n')", [], place) as sandbox,
        pytest.raises(Lost),
    ):
        sandbox.answer(60)
    half = """import os, sys; os.write(int(sys.argv[1]), b'{"log": ["' + b"\\\\" + b'ud800"]}' + bytes([10]))"""
    with Sandbox(BACKENDS["bwrap"], half, [], place) as sandbox:
        assert sandbox.answer(60) == {"log": ["?"]}, "half a character, which no file could hold"


def test_where_bubblewrap_is_missing_it_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(NoSandbox, match="apt install bubblewrap"):
        Bubblewrap().require()


def test_where_namespaces_are_forbidden_it_says_so(monkeypatch):
    denied = subprocess.CompletedProcess([], 1, "", "bwrap: No permissions to create new namespace")
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: denied)
    with pytest.raises(NoSandbox, match="user namespaces are forbidden"):
        Bubblewrap().require()


@pytest.mark.parametrize("sent", ["", "!!!", "UEsDBA==", None, 7, "YWJj"])
def test_what_is_no_file_of_arrays_is_a_bad_artefact(sent):
    with pytest.raises(BadArtefact):
        arrays_of(sent, 1000)


# the whole notebook


def executed(lab, seconds=120.0, **written):
    source, folder = lab
    taken = {name: small_lab.solution(name) for name in small_lab.EXERCISES} | written
    limits = Limits(seconds, WHOLE.memory, WHOLE.processes, WHOLE.output, WHOLE.disk)
    return rerun(source, taken, backend=BACKENDS["bwrap"], release=folder, limits=limits)


def test_the_rebuilt_notebook_is_executed(lab, outside):
    done = executed(lab)
    assert done.status == "ok" and done.minutes > 0 and not done.message


def test_it_stops_where_an_exercise_is_wrong(lab, outside):
    done = executed(lab, ramp="def ramp(progress, gamma=10.0):\n    return 0.5")
    assert (done.status, done.cell) == ("error", "check-ramp") and "CheckFailed" in done.message


def test_a_notebook_that_never_ends_or_kills_its_kernel_is_told_so(lab, outside):
    assert executed(lab, seconds=25, ramp=sabotage.TRICKS["never ends"][0]).status == "timeout"
    assert executed(lab, ramp=sabotage.TRICKS["kills itself"][0]).status == "dead"


def test_a_notebook_leaves_no_process_and_no_file(lab, outside):
    code = sabotage.LITTER["leaves a process behind"]
    assert executed(lab, ramp=code).status == "ok"
    assert executed(lab, ramp=sabotage.LITTER["leaves files behind"].replace("BEACON", str(outside[0]))).status == "ok"
