#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A world across two hosts, played by two network namespaces with a cable between them; then the cable is cut.

    namespaces_test.py WORLD_PEER

Needs root, `ip` and the right to make namespaces; says so and exits with 77 where it cannot run.
"""
import os, subprocess, sys, time

PEER = sys.argv[1]
SECRET = "a secret for the tests only"
SILENCE = 1.5  # seconds
tag = f"crema{os.getpid() % 100000}"
names = [f"{tag}a", f"{tag}b"]
hosts = ["10.213.77.1", "10.213.77.2"]


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def ip(*args, check=True):
    run = subprocess.run(["ip", *args], capture_output=True, text=True)
    if check and run.returncode:
        raise RuntimeError(f"ip {' '.join(args)}: {run.stderr.strip()}")
    return run


def lay_cable():
    for name in names:
        ip("netns", "add", name)
    ip("link", "add", names[0], "type", "veth", "peer", "name", names[1])
    for name, host in zip(names, hosts):
        ip("link", "set", name, "netns", name)
        for args in (["addr", "add", f"{host}/24", "dev", name], ["link", "set", name, "up"], ["link", "set", "lo", "up"]):
            ip("-n", name, *args)


def start(rank, address, steps):
    command = ["ip", "netns", "exec", names[rank], PEER, str(rank), "2", address, SECRET, str(steps), str(SILENCE)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def line(process, prefix):
    """The next line that starts so; None at the end of the output."""
    for text in process.stdout:
        if text.startswith(prefix):
            return text[len(prefix):].strip()
        if text.startswith("error"):
            print(text.strip())
    return None


def world(steps):
    first = start(0, f"{hosts[0]}:0", steps)
    address = line(first, "address ")
    return [first, start(1, address, steps)]


def both(ranks, prefix):
    found = [line(p, prefix) for p in ranks]
    for p in ranks:
        p.wait(timeout=20)
    return found


def test_world():
    ranks = world(20)
    assert both(ranks, "done") == ["", ""], "a world across the cable"
    print("20 steps across the cable")


def test_cut():
    ranks = world(0)
    for p in ranks:
        assert line(p, "step 10") is not None, "the world across the cable works"
    ip("-n", names[1], "link", "set", names[1], "down")
    cut = time.monotonic()
    errors = both(ranks, "error ")
    took = time.monotonic() - cut
    print(f"both ended {took:.1f} s after the cut: {errors}")
    assert took < SILENCE + 8, "within the limit of silence and a margin"
    for own, error in enumerate(errors):
        assert error and error.startswith(f"rank {1 - own} was lost"), "each names the other"


def main():
    if os.geteuid() != 0:
        skip("network namespaces need root")
    if subprocess.run(["sh", "-c", "command -v ip"], capture_output=True).returncode:
        skip("there is no `ip` (Debian: iproute2)")
    try:
        lay_cable()
    except RuntimeError as error:
        remove()
        skip(str(error))
    try:
        test_world()
        test_cut()
    finally:
        remove()
    left = [n for n in ip("netns", "list").stdout.split() if n.startswith(tag)]
    assert not left, f"namespaces stay behind: {left}"


def remove():
    for name in names:
        for pid in ip("netns", "pids", name, check=False).stdout.split():
            os.kill(int(pid), 9)
        ip("netns", "del", name, check=False)


main()
