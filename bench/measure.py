# SPDX-License-Identifier: Apache-2.0
"""Time whole commands, one after the other in turn, so that what else the
machine does meets all of them."""
import json
import os
import signal
import statistics
import sys
import time


class Failed(Exception):
    """A command did not do what it was to do."""


class Spawner:
    """A process in a root directory that starts commands and times them, from
    spawn to the end. By posix_spawn: a fork of this interpreter would cost more
    than what is measured."""
    _of_root = {}

    def __init__(self, root):
        (ours, theirs), (answers, say) = os.pipe(), os.pipe()
        self.to, self.answers = os.fdopen(theirs, "w"), os.fdopen(answers)
        if os.fork() == 0:
            self.to.close()
            self.answers.close()
            if root:
                os.chroot(root)
                os.chdir("/")
            self.serve(os.fdopen(ours), os.fdopen(say, "w"))
            os._exit(0)
        os.close(ours)
        os.close(say)

    @classmethod
    def of(cls, root):
        if root not in cls._of_root:
            cls._of_root[root] = cls(root)
        return cls._of_root[root]

    @staticmethod
    def serve(requests, answers):
        errors = os.memfd_create("errors")
        null = os.open("/dev/null", os.O_RDWR)
        actions = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, errors, 2)]
        for line in requests:
            argv, env, timeout = json.loads(line)
            os.ftruncate(errors, 0)
            started = time.perf_counter()
            try:
                pid = os.posix_spawnp(argv[0], argv, env, file_actions=actions)
                signal.signal(signal.SIGALRM, lambda *_: os.kill(pid, signal.SIGKILL))
                signal.alarm(timeout)
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                took = time.perf_counter() - started
                signal.alarm(0)
                answer = [took, code, os.pread(errors, 4000, 0).decode(errors="replace")]
            except OSError as error:
                answer = [0, 127, str(error)]
            print(json.dumps(answer), file=answers, flush=True)

    def run(self, argv, env, timeout):
        print(json.dumps([argv, env, timeout]), file=self.to, flush=True)
        return json.loads(self.answers.readline())


class Command:
    """A program with its arguments, in a root directory of its own if it has one."""

    def __init__(self, argv, env=None, root=None, code=0):
        self.argv, self.root, self.code = [str(a) for a in argv], str(root) if root else None, code
        self.env = dict(env or os.environ)

    def run(self, timeout=300):
        """Seconds; every peer is measured like this."""
        took, code, said = Spawner.of(self.root).run(self.argv, self.env, timeout)
        if code != self.code:
            raise Failed(f"{' '.join(self.argv)}: exit {code}, not {self.code}: {said.strip()}")
        return took


def in_turn(commands, times, warm_up=2, between=None):
    """{name: Command} -> {name: [seconds]}."""
    result = {name: [] for name in commands}
    for i in range(times + warm_up):
        for name, command in commands.items():
            seconds = command.run()
            if i >= warm_up:
                result[name].append(seconds)
            if between:
                between(name)
    return result


def median_ms(seconds):
    return 1000 * statistics.median(seconds)


def progress(text):
    print(text, file=sys.stderr, flush=True)
