#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A world across two hosts, played by two network namespaces with a cable between them, one rank on each and two on each; a
rank is killed, and the cable is cut.

    namespaces_test.py WORLD_PEER [mpi]

With `mpi`, WORLD_PEER all-reduces over MPI: between two hosts, with no launcher on either.
Needs root, `ip` and the right to make namespaces; says so and exits with 77 where it cannot run.
"""
import os, subprocess, sys, time

from cable import Cable, CannotLay

PEER, OVER_MPI = sys.argv[1], sys.argv[2:] == ["mpi"]
SECRET = "a secret for the tests only"
SILENCE = 1.5  # seconds
STEPS, SENT = 20, 4 * 300000  # bytes in each


def start(cable, rank, size, address, steps, environment):
    command = [*cable.at(2 * rank // size), PEER, str(rank), str(size), address, SECRET, str(steps), str(SILENCE)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment})


def line(process, prefix):
    """The next line that starts so; None at the end of the output."""
    for text in process.stdout:
        if text.startswith(prefix):
            return text[len(prefix):].strip()
        if text.startswith("error"):
            print(text.strip())
    return None


def world(cable, steps, size=2, **environment):
    first = start(cable, 0, size, f"{cable.hosts[0]}:0", steps, environment)
    address = line(first, "address ")
    return [first] + [start(cable, rank, size, address, steps, environment) for rank in range(1, size)]


def everywhere(ranks, prefix):
    found = [line(p, prefix) for p in ranks]
    for p in ranks:
        p.wait(timeout=20)
    return found


def test_world(cable):
    ranks = world(cable, STEPS)
    assert everywhere(ranks, "done") == ["", ""], "a world across the cable"
    assert [p.returncode for p in ranks] == [0, 0]
    assert cable.carried() > STEPS * SENT / 2, f"{cable.carried()} bytes: the sums came another way"
    print(f"{STEPS} steps across the cable")


def test_cut(cable):
    ranks = world(cable, 0)
    for p in ranks:
        assert line(p, "step 10") is not None, "the world across the cable works"
    cable.cut()
    cut = time.monotonic()
    errors = everywhere(ranks, "error ")
    took = time.monotonic() - cut
    print(f"both ended {took:.1f} s after the cut: {errors}")
    assert took < SILENCE + 8, "within the limit of silence and a margin"
    assert [p.returncode for p in ranks] == [1, 1]
    for own, error in enumerate(errors):
        assert error and error.startswith(f"rank {1 - own} was lost"), "each names the other"


def test_two_on_each(cable):
    ranks = world(cable, STEPS, size=4)
    assert everywhere(ranks, "done") == [""] * 4, "two ranks on each host"
    assert [p.returncode for p in ranks] == [0] * 4
    for victim in (1, 2):
        ranks = world(cable, 0, size=4)
        for p in ranks:
            assert line(p, "step 10") is not None, "the world of four works"
        ranks[victim].kill()
        killed = time.monotonic()
        errors = everywhere(ranks, "error ")
        took = time.monotonic() - killed
        print(f"rank {victim} of 4 killed: the others ended {took:.1f} s later: {errors}")
        assert took < SILENCE + 8
        assert [p.returncode for p in ranks] == [-9 if rank == victim else 1 for rank in range(4)]
        assert all(e.startswith(f"rank {victim} was lost") for rank, e in enumerate(errors) if rank != victim)


def test_wrong_interface(cable):
    begun = time.monotonic()
    errors = everywhere(world(cable, STEPS, UCX_NET_DEVICES="aside"), "error ")
    took = time.monotonic() - begun
    print(f"MPI through the wrong interface: both ended after {took:.1f} s: {errors}")
    assert any("MPI gave up" in (e or "") for e in errors), "who lives on knows why; MPICH may end its own process"
    assert took < 8, "before the deadline"


def main():
    try:
        with Cable() as cable:
            test_world(cable)
            test_two_on_each(cable)
            if OVER_MPI:
                test_wrong_interface(cable)
            test_cut(cable)
    except CannotLay as error:
        print(f"skipped: {error}")
        sys.exit(77)


main()
