"""The mirror as two services with a Kafka cluster of three brokers between them, and kill -9 of any of these."""

import json
import os
import signal
import subprocess
import time

from mirror_process import Died, MirrorProcess

HERE = os.path.dirname(os.path.abspath(__file__))
DEV = os.path.dirname(HERE)
HALVES = ("cdc-source", "iceberg-sink")
BROKERS = (1, 2, 3)


class Kafka:
    """The cluster of a test, which the project's script runs."""

    def __init__(self):
        self.script = os.path.join(DEV, "kafka")
        started = subprocess.run([self.script, "start", "kill", "--brokers", "3", "--json"], stdout=subprocess.PIPE, check=True)
        self.servers = json.loads(started.stdout)["bootstrap_servers"]
        tool = subprocess.run([os.path.join(DEV, "tools"), "kafka-client"], stdout=subprocess.PIPE, check=True)
        self.python = os.path.join(tool.stdout.decode().strip(), "bin", "python")

    def act(self, verb, *arguments):
        subprocess.run([self.script, verb, "kill", *map(str, arguments)], stdout=subprocess.DEVNULL, check=True)

    def records(self, topic):
        """The records of a topic as a client of others reads them, read-committed, one after the other."""
        command = [self.python, os.path.join(HERE, "read_topic.py"), self.servers, topic]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        for line in process.stdout:
            yield json.loads(line)
        if process.wait() != 0:
            raise Died("the topic %s could not be read" % topic)

    def end(self, keep):
        subprocess.run([self.script, "stop" if keep else "rm", "kill"], stdout=subprocess.DEVNULL, check=False)


def catches(pid, number):
    """The process has a handler for the signal (proc(5), SigCgt)."""
    with open("/proc/%d/status" % pid, encoding="ascii") as file:
        caught = next(line.split()[1] for line in file if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (number - 1) & 1)


class MirrorServices(MirrorProcess):
    """Both halves in a folder, run again and again."""

    def __init__(self, folder, settings, environment, kafka):
        super().__init__(folder, settings, environment)
        self.kafka = kafka
        self.halves = {}
        self.brokers_down = False
        self.killed = dict.fromkeys(HALVES + ("both halves", "a broker", "two brokers", "a half while brokers were down"), 0)

    def init(self, binary, url):
        super().init(binary, url)
        path = os.path.join(self.folder, "mirror.toml")
        with open(path, encoding="utf-8") as file:
            text = file.read()
        changed = text.replace('"type" = "local"', '"type" = "kafka"\n"bootstrap.servers" = "%s"' % self.kafka.servers)
        if changed == text:
            raise Died("mirror.toml has no log that could be set to Kafka")
        with open(path, "w", encoding="utf-8") as file:
            file.write(changed)

    def start(self, binary, extra_environment=None, arguments=()):
        """Starts what does not run: brokers and halves, or a `lakehouse run` of both with arguments of its own."""
        if arguments:
            super().start(binary, extra_environment, arguments)
            return
        if self.brokers_down:
            self.kafka.act("restart")
            self.brokers_down = False
        self.start_halves(binary)

    def start_halves(self, binary):
        """Those that do not run."""
        for half in HALVES:
            process = self.halves.get(half)
            if process is None or process.poll() is not None:
                self.runs += 1
                path = os.path.join(self.folder, "%s-%03d.log" % (half, self.runs))
                program = os.path.join(os.path.dirname(binary), half)
                with open(path, "wb") as log:
                    self.halves[half] = subprocess.Popen(
                        [program, "--listen", "none", *self.command(binary)[1:]],
                        cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    )
                self.halves[half].said = path

    def said(self):
        paths = [process.said for process in self.halves.values()] if self.halves else [self.log_path]
        text = ""
        for path in paths:
            with open(path, encoding="utf-8", errors="replace") as log:
                text += "%s:\n%s" % (os.path.basename(path), "".join(log.readlines()[-25:]))
        return text

    def must_run(self):
        for half, process in self.halves.items():
            if process.poll() is not None:
                raise Died("%s ended by itself, with code %d; it said:\n%s" % (half, process.returncode, self.said()))

    def kill_some(self, rng, binary):
        """kill -9 of one half, of both, of a broker, of two brokers (writes wait then)."""
        self.must_run()
        victim = rng.choices((*HALVES, "both halves", "a broker", "two brokers"), weights=(4, 4, 2, 2, 1))[0]
        self.killed[victim] += 1
        if not victim.endswith(("broker", "brokers")):
            self.kill_halves(HALVES if victim == "both halves" else (victim,))
            return
        for broker in rng.sample(BROKERS, 1 if victim == "a broker" else 2):
            self.kafka.act("kill9", broker)
        self.brokers_down = True
        # With one broker less everything goes on, with two it waits, and whoever starts meanwhile waits too.
        time.sleep(rng.uniform(0.5, 4.0))
        self.must_run()
        if rng.random() < 0.5:
            self.killed["a half while brokers were down"] += 1
            self.kill_halves((rng.choice(HALVES),))
            self.start_halves(binary)
            time.sleep(rng.uniform(0.5, 4.0))
            self.must_run()

    def kill_halves(self, halves):
        for half in halves:
            self.halves[half].kill()
            self.halves[half].wait()

    def stop(self):
        """SIGTERM; a half ends well and soon."""
        for process in self.halves.values():
            process.send_signal(signal.SIGTERM)
        for half, process in self.halves.items():
            try:
                code = process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                raise Died("%s did not end within 20 s of SIGTERM; it said:\n%s" % (half, self.said())) from None
            if code != 0:
                raise Died("%s ended with code %d when it was asked to stop; it said:\n%s" % (half, code, self.said()))
        self.halves = {}

    def run_to_the_end(self, binary, seconds):
        self.start(binary)
        # A program that has not begun yet ends by a signal like any other.
        for half, process in self.halves.items():
            self.until(lambda pid=process.pid: catches(pid, signal.SIGTERM), 60, "%s took SIGTERM" % half)
        self.stop()
        super().run_to_the_end(binary, seconds)

    def records(self, binary, topic):
        return self.kafka.records(topic)

    def end(self):
        for process in self.halves.values():
            if process.poll() is None:
                process.kill()
                process.wait()
