"""The child process that executes one notebook: reads a job from stdin, leaves a notebook and a report in its folder.

Run as `python -m labkit.book.worker`. It ends itself when its stdin closes, which is how it notices a parent that died.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

#: Runs in the kernel before the first cell. IPython goes on after a failing `!cmd`; a workbook must not.
PRELUDE = """
def _strict(shell):
    import subprocess
    from IPython.utils.process import system as call
    from IPython.utils.text import LSString, SList

    def check(code, command, output=None):
        shell.user_ns["_exit_code"] = code
        if code:
            raise subprocess.CalledProcessError(code, command, output)

    def system(command):
        command = shell.var_expand(command, depth=1)
        check(call(command), command)

    def getoutput(command, split=True, depth=0):
        command = shell.var_expand(command, depth=depth + 1)
        done = subprocess.run(command, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        check(done.returncode, command, done.stdout)
        return SList(done.stdout.splitlines()) if split else LSString(done.stdout)

    shell.system = shell.system_piped = system
    shell.getoutput = getoutput

_strict(get_ipython())
del _strict
"""


async def execute(job: dict[str, Any], notebook: Any, scratch: Path) -> dict[str, Any]:
    """Execute `notebook` in place as far as it goes and return {'status', 'message', 'failed'}."""
    from ipykernel.kernelspec import RESOURCES, get_kernel_dict
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    class ThisPython(KernelSpecManager):
        """Every kernel name means the Python that runs labkit: a kernelspec of the user can't lead elsewhere."""

        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
            return KernelSpec(resource_dir=RESOURCES, **get_kernel_dict())

    started = time.monotonic()
    current: int | None = None

    def left() -> float:
        return job["lab_timeout"] - (time.monotonic() - started)

    def start_cell(cell: Any, cell_index: int) -> None:
        nonlocal current
        current = cell_index

    # sockets in a file cannot be taken by another kernel that starts at the same moment, as ports can; but their paths
    # may have no more than about 100 bytes
    manager = AsyncKernelManager(
        kernel_name="python3",
        kernel_spec_manager=ThisPython(),
        connection_file=str(scratch / "k.json"),
        transport="tcp" if os.name == "nt" or len(str(scratch)) > 80 else "ipc",
    )
    client = NotebookClient(
        notebook,
        km=manager,
        resources={"metadata": {"path": job["folder"]}},
        timeout_func=lambda cell: max(0.01, min(job["cell_timeout"], left())),
        startup_timeout=max(1, min(120, math.ceil(left()))),
        iopub_timeout=30,
        coalesce_streams=True,
        record_timing=False,
        on_cell_start=start_cell,
    )

    async def prelude(notebook: Any) -> None:
        assert client.kc is not None
        answer = client.kc.execute(PRELUDE, silent=True, store_history=False)
        message = await client.async_wait_for_reply(answer)
        if message is None or message["content"]["status"] != "ok":
            raise RuntimeError(f"the kernel could not be prepared: {message and message['content']}")

    client.on_notebook_start = prelude
    status, message = "ok", ""
    try:
        await client.async_execute()
        current = None
    except CellExecutionError as error:
        status, message = "error", f"{error.ename}: {error.evalue}" if error.evalue else str(error.ename)
    except CellTimeoutError:
        status = "timeout"
        cell_limit = job["cell_timeout"] < job["lab_timeout"] and left() > 0
        message = (
            f"the cell was still running after {job['cell_timeout']:g} s, the limit for a cell"
            if cell_limit
            else f"the lab was still running after {job['lab_timeout']:g} s, the limit for a lab"
        )
    except DeadKernelError:
        code = await manager.provisioner.poll() if manager.provisioner else None
        status, message = "dead", f"the kernel died ({describe_exit(code)})"
    except RuntimeError as error:
        code = await manager.provisioner.poll() if manager.provisioner else None
        status, message = "error", str(error)
        if code:
            status, message = "dead", f"the kernel did not start ({describe_exit(code)})"
        elif left() <= 0:
            status, message = "timeout", f"the kernel had not started after {job['lab_timeout']:g} s, the limit for a lab"
    finally:
        if manager.has_kernel:
            await manager.shutdown_kernel(now=status != "ok")
        if client.kc is not None:
            client.kc.stop_channels()
    return {"status": status, "message": message, "failed": current}


def describe_exit(code: int | None) -> str:
    """Say in words how a process ended; a kill by signal 9 that nobody asked for is the system's want of memory."""
    if code is None:
        return "it no longer answers"
    if code in (-9, 137):
        return "killed by signal 9, most often because memory ran out"
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"


def main() -> None:
    """Read one line of JSON, execute, and write `executed.ipynb` and then `report.json` into the scratch folder."""
    import nbformat

    job = json.loads(sys.stdin.readline())
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(1)), daemon=True).start()
    scratch = Path(job["scratch"])
    notebook = nbformat.read(job["path"], as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    report = asyncio.run(execute(job, notebook, scratch))
    nbformat.write(notebook, scratch / "executed.ipynb")
    (scratch / "report.json").write_text(json.dumps(report), encoding="utf-8")
    sys.stdout.flush()
    os._exit(0)  # the thread above holds stdin


if __name__ == "__main__":
    main()
