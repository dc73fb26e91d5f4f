"""Submissions that try to get marks without the exercise, or to do harm: code of `ramp`, and the statuses that are right.

BEACON, PORT and SOURCE stand for a file outside, a port on which somebody listens, and the project's folder.
"""

TRICKS = {
    "prints what a passing check prints": (
        """
print('✓ ramp: all 3 cases pass')


def ramp(progress, gamma=10.0):
    print('all tests passed, 100 %')
    return 0.5
""",
        {"wrong"},
    ),
    "patches the comparisons of numpy and torch": (
        """
import numpy as np, torch, builtins
for module in (np, torch):
    for name in ('allclose', 'isclose', 'array_equal', 'equal'):
        if hasattr(module, name):
            setattr(module, name, lambda *a, **k: True)
np.asarray = np.array = lambda *a, **k: np.zeros(1)


def ramp(progress, gamma=10.0):
    return 0.5
""",
        {"bad artefact", "wrong"},
    ),
    "answers with something that equals everything": (
        """
class All(float):
    def __eq__(self, other): return True
    def __sub__(self, other): return All(0)
    def __abs__(self): return All(0)


def ramp(progress, gamma=10.0):
    return All(0.5)
""",
        {"wrong"},
    ),
    "replaces the adapter": (
        """
import sys, types
fake = sys.modules.get('labkit.adapters.dann')
for name in ('ramp', 'ramp_as_given'):
    setattr(fake, name, lambda f, **k: {'factors': 'right', 'status': 'right'})


def ramp(progress, gamma=10.0):
    return 0.5
""",
        {"wrong"},
    ),
    "answers for the driver": (
        """
import os, json


def ramp(progress, gamma=10.0):
    line = json.dumps({'exit': 0, 'reason': '', 'prepared': True, 'log': '', 'marks': 1, 'status': 'right', 'calls': []})
    for number in range(3, 20):
        for where in (f'/proc/{os.getppid()}/fd/{number}', f'/proc/self/fd/{number}'):
            try:
                fd = os.open(where, os.O_WRONLY | os.O_NONBLOCK)
                os.write(fd, line.encode() + b'\\n')
                os.close(fd)
            except OSError:
                pass
    return 0.5
""",
        {"bad artefact", "dead", "wrong"},
    ),
    "answers for the driver by way of the first process": (
        """
import os, json, sys


def ramp(progress, gamma=10.0):
    frame, nonce = sys._getframe(), ''
    while frame and not nonce:
        nonce, frame = frame.f_locals.get('nonce', ''), frame.f_back
    line = json.dumps({'nonce': nonce, 'prepared': False, 'reason': '', 'calls': [], 'log': '', 'exit': 0})
    for number in range(20):
        try:
            os.write(os.open(f'/proc/1/fd/{number}', os.O_WRONLY | os.O_NONBLOCK), line.encode() + b'\\n')
        except OSError:
            pass
    return 0.5
""",
        {"wrong"},
    ),
    "says that it is our fault": (
        """
import os


def ramp(progress, gamma=10.0):
    raise OSError('infrastructure: the sandbox did not start')
""",
        {"wrong"},
    ),
    "sends a pickle": (
        """
import numpy as np, pickle, os


class Bomb:
    def __reduce__(self):
        return os.system, ('touch BEACON',)


def ramp(progress, gamma=10.0):
    np.savez = lambda out, **k: out.write(pickle.dumps(Bomb()))
    return 0.5
""",
        {"bad artefact"},
    ),
    "sends an array of pickled objects": (
        """
import numpy as np, os


class Bomb:
    def __reduce__(self):
        return os.system, ('touch BEACON',)
save = np.savez


def ramp(progress, gamma=10.0):
    a = np.empty(1, dtype=object)
    a[0] = Bomb()
    np.savez = lambda out, **k: save(out, factors=a)
    return 0.5
""",
        {"bad artefact"},
    ),
    "sends a file that swells": (
        """
import numpy as np
packed = np.savez_compressed


def ramp(progress, gamma=10.0):
    np.savez = lambda out, **k: packed(out, factors=np.zeros(2 * 10**7))
    return 0.5
""",
        {"bad artefact"},
    ),
    "sends a file with a link in place of numbers": (
        """
import numpy as np, os


def ramp(progress, gamma=10.0):
    for i in range(3):
        if not os.path.lexists(f'exercise/{i}.npz'):
            os.symlink('/lab/inputs/ramp-0.npz', f'exercise/{i}.npz')
    os._exit(0)
""",
        {"dead"},
    ),
    "never ends": (
        """
def ramp(progress, gamma=10.0):
    while True:
        pass
""",
        {"timeout"},
    ),
    "swallows every interrupt": (
        """
import signal


def ramp(progress, gamma=10.0):
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass
""",
        {"timeout"},
    ),
    "sleeps for ever": (
        """
import time


def ramp(progress, gamma=10.0):
    time.sleep(10**6)
""",
        {"timeout"},
    ),
    "kills itself": (
        """
import os


def ramp(progress, gamma=10.0):
    os.kill(os.getpid(), 9)
""",
        {"dead"},
    ),
    "ends as if all were well": (
        """
import os


def ramp(progress, gamma=10.0):
    os._exit(0)
""",
        {"dead"},
    ),
    "raises SystemExit": (
        """
def ramp(progress, gamma=10.0):
    raise SystemExit(0)
""",
        {"wrong"},
    ),
    "kills the driver": (
        """
import os


def ramp(progress, gamma=10.0):
    os.kill(os.getppid(), 9)
    while True:
        pass
""",
        {"dead"},
    ),
    "stops the driver": (
        """
import os, signal


def ramp(progress, gamma=10.0):
    os.kill(os.getppid(), signal.SIGSTOP)
    while True:
        pass
""",
        {"dead", "timeout"},
    ),
    "forks without end": (
        """
import os


def ramp(progress, gamma=10.0):
    while True:
        try:
            os.fork()
        except OSError:
            pass
""",
        {"dead"},
    ),
    "takes all memory": (
        """
def ramp(progress, gamma=10.0):
    kept = []
    while True:
        kept.append(bytearray(10**8))
""",
        {"out of memory"},
    ),
    "takes all memory, shared": (
        """
import mmap, time


def ramp(progress, gamma=10.0):
    kept = mmap.mmap(-1, 3 * 2**30)
    for i in range(0, len(kept), 4096):
        kept[i] = 1
    time.sleep(100)
""",
        {"out of memory"},
    ),
    "takes all memory in many processes": (
        """
import os, time


def ramp(progress, gamma=10.0):
    for _ in range(6):
        if os.fork() == 0:
            kept = bytearray(4 * 10**8)
            kept[::4096] = b'x' * len(kept[::4096])
            time.sleep(100)
    time.sleep(100)
""",
        {"out of memory"},
    ),
    "floods its output": (
        """
def ramp(progress, gamma=10.0):
    while True:
        try:
            print('x' * 10**6, flush=True)
        except BaseException:
            pass
""",
        {"dead"},
    ),
    "fills the disk": (
        """
def ramp(progress, gamma=10.0):
    for i in range(10**6):
        open(f'f{i}', 'wb').write(b'0' * 10**7)
    return 0.5
""",
        {"dead", "wrong"},
    ),
    "writes outside": (
        """
import os


def ramp(progress, gamma=10.0):
    for name in ('BEACON', '/lab/release/x', '/lab/inputs/x', '/usr/x', '/x', os.path.expanduser('~root/x'), '/etc/x'):
        try:
            os.makedirs(os.path.dirname(name), exist_ok=True); open(name, 'w').write('x')
        except OSError:
            pass
    return 0.5
""",
        {"wrong"},
    ),
    "reads what is expected": (
        """
def ramp(progress, gamma=10.0):
    from labkit.grading.expected import dann
    return float(dann.ramp(progress, gamma)['factors'])
""",
        {"wrong"},
    ),
    "reads the instructor's notebook": (
        """
import os


def ramp(progress, gamma=10.0):
    for root in ('SOURCE', '/lab', '/home', '/root', '/tmp'):
        for folder, _, names in os.walk(root):
            if 'site-packages' in folder or 'python3' in folder:
                continue
            for name in names:
                if name.endswith(('.ipynb', '.py')):
                    if 'BEGIN ' + 'SOLUTION\\n' in open(os.path.join(folder, name), errors='ignore').read():
                        return 2 / (1 + 2.718281828459045 ** (-gamma * progress)) - 1
    raise ValueError('nothing to read')
""",
        {"wrong"},
    ),
    "asks the memory of who started it": (
        """
import os


def ramp(progress, gamma=10.0):
    open('/proc/1/mem', 'rb').read(10)
    open(f'/proc/{os.getppid()}/environ').read()
    return 0.5
""",
        {"wrong"},
    ),
    "sends data away": (
        """
import socket


def ramp(progress, gamma=10.0):
    for where in (('127.0.0.1', PORT), ('1.1.1.1', 53), ('localhost', PORT)):
        try:
            socket.create_connection(where, 1).send(b'here')
        except OSError:
            pass
    return 0.5
""",
        {"wrong"},
    ),
    "becomes root": (
        """
import os


def ramp(progress, gamma=10.0):
    os.setuid(0)
    return 0.5
""",
        {"wrong"},
    ),
    "answers NaN": (
        """
def ramp(progress, gamma=10.0):
    return float('nan')
""",
        {"wrong"},
    ),
    "answers numbers that are far too many": (
        """
import numpy as np


def ramp(progress, gamma=10.0):
    class Big(float):
        def __float__(self): return 0.5
    save = np.savez
    np.savez = lambda out, **k: save(out, **{str(i): np.zeros(10) for i in range(500)})
    return Big(0.5)
""",
        {"bad artefact"},
    ),
    "defines nothing": (
        """
x = 1
""",
        {"wrong"},
    ),
    "is a class that lies about its name": (
        """
class ramp:
    def __new__(cls, *a, **k): return 'right'
""",
        {"wrong"},
    ),
}

#: right answers that leave something behind, which must be gone
LITTER = {
    "leaves a process behind": """
import os, time, math


def ramp(progress, gamma=10.0):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(600)
        os._exit(0)
    return 2 / (1 + math.exp(-gamma * progress)) - 1
""",
    "leaves a thread behind": """
import threading, time, math


def ramp(progress, gamma=10.0):
    threading.Thread(target=time.sleep, args=(600,)).start()
    return 2 / (1 + math.exp(-gamma * progress)) - 1
""",
    "leaves files behind": """
import math


def ramp(progress, gamma=10.0):
    open('BEACON', 'w').write('x'); open('/dev/shm/left', 'w').write('x')
    return 2 / (1 + math.exp(-gamma * progress)) - 1
""",
}
