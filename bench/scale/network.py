# SPDX-License-Identifier: Apache-2.0
"""Two network namespaces with a cable between them whose ends send no faster than they are told (tc tbf)."""
import os, subprocess


class Refused(Exception):
    pass


def call(*args):
    run = subprocess.run(args, capture_output=True, text=True)
    if run.returncode:
        raise Refused(f"{' '.join(args)}: {run.stderr.strip()}")


class Cable:
    """with Cable() as cable: cable.limit(1.0); cable.command(0, "program", ...)"""

    hosts = ["10.213.78.1", "10.213.78.2"]

    def __init__(self):
        self.names = [f"scale{os.getpid() % 100000}{end}" for end in "ab"]

    def __enter__(self):
        if os.geteuid() != 0:
            raise Refused("network namespaces need root")
        try:
            for name in self.names:
                call("ip", "netns", "add", name)
            call("ip", "link", "add", self.names[0], "type", "veth", "peer", "name", self.names[1])
            for name, host in zip(self.names, self.hosts):
                call("ip", "link", "set", name, "netns", name)
                for args in (["addr", "add", f"{host}/24", "dev", name], ["link", "set", name, "up"], ["link", "set", "lo", "up"]):
                    call("ip", "-n", name, *args)
                call(*self.command(name, "sysctl", "-q", "-w", "net.ipv4.tcp_congestion_control=reno"))
            self.limit(1)
        except (Refused, FileNotFoundError) as error:
            self.__exit__()
            raise Refused(str(error))
        return self

    def command(self, end, *args):
        return ["ip", "netns", "exec", self.names[end] if isinstance(end, int) else end, *args]

    def limit(self, gbit):
        """Both ends send at this rate; 0: as fast as the machine goes."""
        for name in self.names:
            if gbit > 0:
                call("tc", "-n", name, "qdisc", "replace", "dev", name, "root", "tbf", "rate", f"{round(gbit * 1e6)}kbit", "burst",
                     "64kb", "limit", "32mb")
            else:
                subprocess.run(["tc", "-n", name, "qdisc", "del", "dev", name, "root"], capture_output=True)

    def __exit__(self, *_):
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)
