"""The program under test, driven as a person would: `init`, `run`, `status`, `log`, and kill -9."""

import json
import os
import signal
import subprocess
import time


class Died(Exception):
    """The program ended where it should not have, or did not end where it should have."""


class MirrorProcess:
    """One mirror in a folder of its own, run again and again."""

    def __init__(self, folder, settings, environment):
        self.folder, self.settings, self.environment = folder, settings, environment
        self.process = None
        self.runs = 0
        os.makedirs(folder)

    def command(self, binary, *arguments):
        settings = [part for key, value in self.settings.items() for part in ("--set", "%s=%s" % (key, value))]
        return [binary, *arguments, "-c", os.path.join(self.folder, "mirror.toml"), *settings]

    def init(self, binary, url):
        command = [binary, "init", url, "-c", "mirror.toml"]
        subprocess.run(command, cwd=self.folder, env=self.environment, check=True, stdout=subprocess.DEVNULL)

    def start(self, binary, extra_environment=None, arguments=()):
        self.runs += 1
        self.log_path = os.path.join(self.folder, "run-%03d.log" % self.runs)
        with open(self.log_path, "wb") as log:
            environment = dict(self.environment, **(extra_environment or {}))
            self.process = subprocess.Popen(
                self.command(binary, "run", *arguments), cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def said(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return "".join(log.readlines()[-25:])

    def must_run(self):
        if self.process.poll() is not None:
            raise Died("the mirror ended by itself, with code %d; it said:\n%s" % (self.process.returncode, self.said()))

    def kill(self):
        """kill -9 of a program that must still be there."""
        self.must_run()
        self.process.kill()
        self.process.wait()

    def kill_some(self, _rng, _binary):
        """There is only the one."""
        self.kill()

    def end(self):
        """Nothing of it is left running."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def wait(self, seconds):
        """The exit code; negative for a signal."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Died("the mirror did not end within %d s; it said:\n%s" % (seconds, self.said())) from None

    def was_killed(self, seconds):
        """Waits until it has killed itself at a point."""
        code = self.wait(seconds)
        if code != -signal.SIGKILL:
            raise Died("the mirror ended with code %d instead of being killed at its point; it said:\n%s" % (code, self.said()))

    def run_to_the_end(self, binary, seconds):
        self.start(binary, arguments=("--until-caught-up",))
        code = self.wait(seconds)
        if code != 0:
            raise Died("`lakehouse run --until-caught-up` ended with code %d; it said:\n%s" % (code, self.said()))

    def status(self):
        """What the mirror last said of itself; {} before it has said anything."""
        try:
            with open(os.path.join(self.folder, "log", "status.json"), encoding="utf-8") as file:
                return json.load(file)
        except FileNotFoundError:
            return {}

    def phases(self):
        return [table["phase"] for table in self.status().get("tables", {}).values()]

    def until(self, condition, seconds, what):
        """Polls until a condition of this mirror holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            self.must_run()
            if time.monotonic() > deadline:
                raise Died("within %d s it did not happen that %s; the mirror said:\n%s" % (seconds, what, self.said()))
            time.sleep(0.01)

    def records(self, binary, topic):
        """The records of a topic of the log, one after the other."""
        process = subprocess.Popen(self.command(binary, "log", topic), cwd=self.folder, env=self.environment, stdout=subprocess.PIPE)
        for line in process.stdout:
            yield json.loads(line)
        if process.wait() != 0:
            raise Died("`lakehouse log %s` ended with code %d" % (topic, process.returncode))
