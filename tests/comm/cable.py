# SPDX-License-Identifier: Apache-2.0
"""Two hosts with a cable between them, played by two network namespaces: for tests that cut the cable.

    with Cable() as cable:                       # CannotLay says why there is none: it needs root and `ip`
        subprocess.Popen([*cable.at(0), "program"])      # listens on cable.hosts[0]
        cable.cut()
"""
import itertools, os, shutil, subprocess


class CannotLay(Exception):
    pass


def ip(*args, check=True):
    run = subprocess.run(["ip", *args], capture_output=True, text=True)
    if check and run.returncode:
        raise CannotLay(f"ip {' '.join(args)}: {run.stderr.strip()}")
    return run


class Cable:
    hosts = ["10.213.77.1", "10.213.77.2"]
    numbers = itertools.count()

    def __init__(self):
        self.tag = f"crema{os.getpid() % 100000}x{next(self.numbers)}"
        self.names = [self.tag + "a", self.tag + "b"]

    def __enter__(self):
        if os.geteuid() != 0:
            raise CannotLay("network namespaces need root")
        if not shutil.which("ip"):
            raise CannotLay("there is no `ip` (Debian: iproute2)")
        try:
            for name in self.names:
                ip("netns", "add", name)
            ip("link", "add", self.names[0], "type", "veth", "peer", "name", self.names[1])
            for name, host in zip(self.names, self.hosts):
                ip("link", "set", name, "netns", name)
                for args in (["addr", "add", f"{host}/24", "dev", name], ["link", "set", name, "up"], ["link", "set", "lo", "up"]):
                    ip("-n", name, *args)
        except CannotLay:
            self.remove()
            raise
        return self

    def __exit__(self, *_):
        self.remove()
        left = [n for n in ip("netns", "list").stdout.split() if n.startswith(self.tag)]
        assert not left, f"namespaces stay behind: {left}"

    def at(self, end):
        """What a command begins with to run at one end."""
        return ["ip", "netns", "exec", self.names[end]]

    def cut(self):
        ip("-n", self.names[1], "link", "set", self.names[1], "down")

    def remove(self):
        for name in self.names:
            for pid in ip("netns", "pids", name, check=False).stdout.split():
                os.kill(int(pid), 9)
            ip("netns", "del", name, check=False)
