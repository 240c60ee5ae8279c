"""How many variables a command can get: as many as the kernel takes, and no more."""

import os
import subprocess
import sys
from resource import RLIM_INFINITY, RLIMIT_STACK, getrlimit, setrlimit

import pytest

from zkexec.process.exec_room import room_for_variables

MIB = 1024 * 1024
PROGRAM = """
import os, sys
from resource import RLIMIT_STACK, setrlimit
setrlimit(RLIMIT_STACK, (int(sys.argv[1]),) * 2)
from zkexec.process.exec_room import room_for_variables
argv = [b"/bin/true", b"x" * 1000]
environment = {b"INHERITED": b"y" * 50_000}
room = room_for_variables(environment, [argv])
value = b"v" * 60_000
count = room // (len(value) + 13)
environment.update({b"V%03d" % number: value for number in range(count)})
assert count > 0
os.execve(argv[0], argv, environment)
"""


@pytest.mark.parametrize("stack", [1 * MIB, 8 * MIB, 64 * MIB])
def test_the_kernel_takes_what_there_is_room_for(stack: int) -> None:
    """With as many variables as there is room for, a program is executed, whatever the limit."""
    ran = subprocess.run([sys.executable, "-c", PROGRAM, str(stack)], check=False)
    assert ran.returncode == 0


def test_what_is_inherited_takes_room() -> None:
    """Inherited variables and the arguments of the longest command count."""
    room = room_for_variables({}, [])
    assert room > 0
    assert room_for_variables({b"A": b"x" * 1000}, []) == room - 1011
    assert room_for_variables({}, [[b"a"], [b"ab", b"c"]]) == room - 21
    assert room_for_variables({b"A": b"x" * 100 * MIB}, []) == 0


def test_a_stack_without_limit() -> None:
    """Without a limit of the stack, the kernel takes 6 MiB."""
    soft, hard = getrlimit(RLIMIT_STACK)
    if hard != RLIM_INFINITY:
        pytest.skip("this process may not raise the limit of its stack")
    try:
        setrlimit(RLIMIT_STACK, (RLIM_INFINITY, hard))
        assert 5 * MIB < room_for_variables({b"A": os.fsencode("b")}, []) < 6 * MIB
    finally:
        setrlimit(RLIMIT_STACK, (soft, hard))
