"""Child processes and what they use: processor time, memory, and a limit on it."""

import json
import os
import signal
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """A program that is measured did not do what it should; the benchmark ends."""


def cpu_seconds(pid):
    """User and system time of all threads of a process, in steps of 10 ms."""
    with open("/proc/%d/stat" % pid, encoding="utf-8", errors="replace") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def peak_rss_mib(pid):
    """The most that was ever resident."""
    with open("/proc/%d/status" % pid, encoding="utf-8") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    raise Failed("/proc/%d/status has no VmHWM" % pid)


def load_average():
    with open("/proc/loadavg", encoding="utf-8") as file:
        return " ".join(file.read().split()[:3])


def until(what, seconds, condition, interval=0.02, alive=()):
    """Asks until the answer is true, and returns it; the processes `alive` must not end meanwhile."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        for process in alive:
            process.must_run()
        if time.monotonic() > deadline:
            raise Failed("%s: not within %d s\n%s" % (what, seconds, "\n".join(p.last_words() for p in alive)))
        time.sleep(interval)


class Process:
    """A program that runs until it is ended; what it prints is in a file."""

    def __init__(self, command, folder, name, limit=None, environment=None):
        os.makedirs(folder, exist_ok=True)
        self.name = name
        self.log = os.path.join(folder, name + ".log")
        if limit is not None:
            command = limit.command(command)
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        self.pid = self.child.pid
        RUNNING.append(self)

    def last_words(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return "%s said:\n%s" % (self.name, "".join(log.readlines()[-25:]))

    def must_run(self):
        code = self.child.poll()
        if code is not None:
            raise Failed("%s ended by itself with code %d\n%s" % (self.name, code, self.last_words()))

    def cpu(self):
        return cpu_seconds(self.pid)

    def peak(self):
        return peak_rss_mib(self.pid)

    def end(self, patience=30):
        """SIGTERM, then SIGKILL."""
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(patience)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        if self in RUNNING:
            RUNNING.remove(self)


# What has an end, `end(patience)`, that has not come yet.
RUNNING = []


def end_all():
    """Whatever still runs, in the reverse order of its start."""
    for process in reversed(list(RUNNING)):
        process.end(5)


class Helper:
    """A child that ends by itself and is spoken to meanwhile; one that is left over when a part fails is killed."""

    def __init__(self, command, **streams):
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, **streams)
        RUNNING.append(self)

    def wait(self, patience):
        """Closes its standard input, waits for its end; returns the code."""
        self.child.stdin.close()
        code = self.child.wait(patience)
        RUNNING.remove(self)
        return code

    def end(self, _patience=0):
        self.child.kill()
        self.child.wait()
        RUNNING.remove(self)


class MemoryLimit:
    """A control group of its own with a limit on memory, the page cache of its files included."""

    def __init__(self, folder, mib):
        self.folder = folder
        self.mib = mib

    @classmethod
    def make(cls, name, mib):
        """`None` where this user may not make one."""
        for root, file in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
            folder = os.path.join(root, "lakehouse-bench-%d-%s" % (os.getpid(), name))
            try:
                os.mkdir(folder)
            except OSError:
                continue
            try:
                with open(os.path.join(folder, file), "w", encoding="ascii") as limit:
                    limit.write(str(mib << 20))
                return cls(folder, mib)
            except OSError:
                os.rmdir(folder)
        return None

    def command(self, command):
        return ["/bin/sh", "-c", 'echo $$ >"$0"/cgroup.procs && exec "$@"', self.folder, *command]

    def remove(self):
        """Once its processes have ended."""
        try:
            os.rmdir(self.folder)
        except OSError as e:
            print("the control group %s was not removed: %s" % (self.folder, e))


def script(*command, stdin=None):
    """Runs one of the project's scripts; returns what it printed."""
    ended = subprocess.run(command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, text=True)
    if ended.returncode != 0:
        raise Failed("%s failed (%d): %s" % (" ".join(command)[:200], ended.returncode, ended.stderr.strip()[-2000:]))
    return ended.stdout


def described(*command):
    return json.loads(script(*command))
