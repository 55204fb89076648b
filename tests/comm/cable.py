# SPDX-License-Identifier: Apache-2.0
"""Two hosts with a cable between them, played by two network namespaces, each with a host name, semaphores and a /dev/shm
of its own that all programs there share, so that MPI too believes in two hosts: for tests that cut the cable. Both have one
more interface, with an address and with nobody behind it.

    with Cable() as cable:                       # CannotLay says why there is none: it needs root and `ip`
        subprocess.Popen([*cable.at(0), "program"])      # listens on cable.hosts[0]
        cable.cut()
"""
import contextlib, itertools, json, os, shutil, subprocess


class CannotLay(Exception):
    pass


def ip(*args, check=True):
    run = subprocess.run(["ip", *args], capture_output=True, text=True)
    if check and run.returncode:
        raise CannotLay(f"ip {' '.join(args)}: {run.stderr.strip()}")
    return run


AS_A_HOST = 'hostname "$0" && mount -t tmpfs shm /dev/shm && echo up && exec sleep infinity'


class Cable:
    hosts = ["10.213.77.1", "10.213.77.2"]
    numbers = itertools.count()

    def __init__(self):
        self.tag = f"crema{os.getpid() % 100000}x{next(self.numbers)}"
        self.names = [self.tag + "a", self.tag + "b"]
        self.inits = []

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
                ip("-n", name, "link", "add", "aside", "type", "veth", "peer", "name", "nobody")
                for args in (["addr", "add", "10.213.78.1/24", "dev", "aside"], ["link", "set", "aside", "up"], ["link", "set", "nobody", "up"],
                             ["addr", "add", f"{host}/24", "dev", name], ["link", "set", name, "up"], ["link", "set", "lo", "up"]):
                    ip("-n", name, *args)
                command = ["ip", "netns", "exec", name, "unshare", "--uts", "--ipc", "--mount", "sh", "-c", AS_A_HOST, name]
                self.inits.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
                if (said := self.inits[-1].stdout.readline()) != "up\n":
                    raise CannotLay(f"no host of its own: {said.strip()}")
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
        return ["nsenter", "--target", str(self.inits[end].pid), "--net", "--uts", "--ipc", "--mount", "--wd=."]

    def carried(self):
        """Bytes so far from the first host to the second."""
        return json.loads(ip("-n", self.names[0], "-j", "-s", "link", "show", "dev", self.names[0]).stdout)[0]["stats64"]["tx"]["bytes"]

    def cut(self):
        ip("-n", self.names[1], "link", "set", self.names[1], "down")

    def remove(self):
        for name in self.names:
            for pid in ip("netns", "pids", name, check=False).stdout.split():
                with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                    os.kill(int(pid), 9)
            ip("netns", "del", name, check=False)
        for init in self.inits:
            init.kill()
            init.wait()
            init.stdout.close()
