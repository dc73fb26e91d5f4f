"""Lab 04 as a student sees it: in JupyterLab, in a real browser, run from its first cell to its last."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from test_browser import CHROMIUM

HOME = Path(__file__).parent.parent
LAB = "04_vae_posterior_collapse"
TOKEN = "a-token-for-this-test-alone"
MINUTES = 20  # of patience: the lab takes one on a free core

pytestmark = [
    pytest.mark.slow,
    pytest.mark.whole,
    pytest.mark.timeout(60 * (MINUTES + 4)),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium"),
]

#: watches the kernel, runs all cells and says when all have run
RUN_ALL = """async () => {
  const app = window.jupyterapp, panel = app.shell.currentWidget
  const kernel = panel.sessionContext.session.kernel
  window.states = []
  kernel.statusChanged.connect((_, status) => { window.states.push(status) })
  window.widgets = 0  // progress bars go when they are full
  const count = () => document.querySelectorAll('.jp-OutputArea-output .jupyter-widgets').length
  setInterval(() => { window.widgets = Math.max(window.widgets, count()) }, 50)
  window.ran = null
  app.commands.execute('notebook:run-all-cells').then(() => { window.ran = true }, error => { window.ran = String(error) })
}"""
READY = """() => {
  const panel = window.jupyterapp && window.jupyterapp.shell.currentWidget
  const session = panel && panel.sessionContext && panel.sessionContext.session
  return !!(session && session.kernel && session.kernel.status === 'idle' && panel.content.widgets.length > 10)
}"""
DONE = "() => window.ran && window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'"
CELLS = "() => window.jupyterapp.shell.currentWidget.content.model.toJSON().cells"


@pytest.fixture
def server(tmp_path):
    """The address of a JupyterLab of its own over a copy of the lab; its settings and its kernels are temporary, too."""
    pytest.importorskip("playwright.sync_api", reason="no playwright: pip install playwright")
    folder, config, runtime = tmp_path / "notebooks", tmp_path / "config", tmp_path / "runtime"
    folder.mkdir()
    shutil.copy(HOME / "notebooks" / f"{LAB}.ipynb", folder)
    for name, settings in {
        "notebook-extension/tracker": '{"windowingMode": "none"}',  # or cells out of sight are not in the page
        "apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
    }.items():
        path = config / "user" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(settings, encoding="utf-8")
    env = {key: value for key, value in os.environ.items() if not key.startswith(("LABKIT_", "TQDM_", "JUPYTER"))}
    env |= {"LABKIT_HOME": str(HOME), "LABKIT_OFFLINE": "1", "IPYTHONDIR": str(tmp_path / "ipython")}
    env |= {"JUPYTER_CONFIG_DIR": str(config), "JUPYTER_DATA_DIR": str(tmp_path / "data"), "JUPYTER_RUNTIME_DIR": str(runtime)}
    env |= {"JUPYTERLAB_SETTINGS_DIR": str(config / "user"), "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / "workspaces")}
    options = [
        "--no-browser",
        "--allow-root",
        "--ServerApp.port=0",
        "--ServerApp.ip=127.0.0.1",
        f"--IdentityProvider.token={TOKEN}",
        f"--ServerApp.root_dir={folder}",
        "--LabApp.expose_app_in_browser=True",
        "--LabApp.extension_manager=readonly",
    ]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "jupyterlab", *options], env=env, cwd=folder, stdout=log, stderr=log)
    try:
        end = time.monotonic() + 120
        while not (found := list(runtime.glob("jpserver-*.json"))):
            assert process.poll() is None and time.monotonic() < end, (tmp_path / "log").read_text(encoding="utf-8")
            time.sleep(0.2)
        time.sleep(0.5)  # the file may be half written
        yield json.loads(found[0].read_text(encoding="utf-8"))["url"]
    finally:
        process.send_signal(signal.SIGTERM)  # it ends its kernels
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()


def texts(output: dict[str, Any]) -> str:
    """All that an output says in plain text."""
    found = [output.get("text", ""), output.get("data", {}).get("text/plain", "")]
    return "".join(part if isinstance(part, str) else "".join(part) for part in found)


def test_lab_04_runs_in_jupyterlab_and_shows_what_it_should(server, tmp_path):
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(120_000)
        page.goto(f"{server}lab/tree/{LAB}.ipynb?token={TOKEN}")
        page.wait_for_function(READY)
        page.evaluate(RUN_ALL)
        page.wait_for_function(DONE, timeout=60_000 * MINUTES, polling=1000)
        assert page.evaluate("window.ran") is True
        time.sleep(2)  # for what was last to be drawn
        if keep := os.environ.get("LABKIT_SCREENSHOTS"):  # a folder, for a look at it
            page.screenshot(path=str(Path(keep) / "jupyterlab-end.png"))
            page.evaluate("document.querySelectorAll('.jp-Notebook img')[3].scrollIntoView({block: 'center'})")
            page.wait_for_timeout(500)
            page.screenshot(path=str(Path(keep) / "jupyterlab-figure.png"))
        states, cells = page.evaluate("window.states"), page.evaluate(CELLS)

        code = [cell for cell in cells if cell["cell_type"] == "code" and "".join(cell["source"]).strip()]
        outputs = [output for cell in code for output in cell["outputs"]]
        assert states.index("busy") < len(states) - 1 and states[-1] == "idle"
        assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
        assert [output for output in outputs if output["output_type"] == "error"] == []
        assert page.locator("[data-mime-type='application/vnd.jupyter.error']").count() == 0

        drawn = page.evaluate(
            "[...document.querySelectorAll('.jp-OutputArea-output img')].filter(i => !i.closest('.jupyter-widgets'))"
            ".map(i => i.complete && i.naturalWidth)"
        )
        kinds = ("image/png", "image/gif")
        given = [output["metadata"][kind] for output in outputs for kind in kinds if kind in output.get("data", {})]
        assert len(drawn) == len(given) >= 5 and all(drawn)
        assert all(len(about["alt"]) > 8 for about in given)  # for what reads the notebook: JupyterLab gives it to no picture

        shown = "\n".join(page.locator(".jp-OutputArea-output").all_inner_texts())
        for raw in ("\x1b[", "[0m", "FloatProgress(", "IntProgress(", "HBox(", "VBox(", "Error displaying widget"):
            assert raw not in shown, raw
        assert re.search(r"\d+%\|", shown) is None, "a progress bar is left as text"
        views = [output for output in outputs if "application/vnd.jupyter.widget-view+json" in output.get("data", {})]
        assert bool(views) == bool(page.evaluate("window.widgets")), "a widget was given and none was drawn, or the reverse"
        assert not any("\x1b" in texts(output) for output in outputs)

        box = page.locator(".jp-OutputArea-output .jupyter-widgets.widget-vbox").last  # the explorer
        picture, typed = box.locator("img"), box.locator("input[type=number]").last
        first = picture.get_attribute("src")
        typed.fill("2.5")
        typed.press("Enter")
        expect(picture).not_to_have_attribute("src", first, timeout=30_000)
        expect(picture).to_have_attribute("alt", re.compile(r"value 2\.5: the largest change of a pixel is 0\.\d\d\."))
        second = picture.get_attribute("src")
        box.locator(".noUi-handle").last.press("ArrowLeft")  # the slider is tied to the number
        expect(typed).to_have_value("2.25", timeout=30_000)
        expect(picture).not_to_have_attribute("src", second, timeout=30_000)
        if keep:
            picture.scroll_into_view_if_needed()
            page.screenshot(path=str(Path(keep) / "jupyterlab-explorer.png"))

        summary = page.locator(".jp-OutputArea-output table caption").all_inner_texts()
        assert summary[-2:] == ["Measured (mean ± sd over seeds)", "Claims"]
        assert page.locator(".jp-OutputArea-output table").last.locator("tbody tr").count() >= 10
        browser.close()
