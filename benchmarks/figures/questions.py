"""`zkexec --help`, from start to end, beside what Python itself takes."""

from benchmarks.arithmetic import interleaved
from benchmarks.candidates import INTERPRETER, SYSTEM_PYTHON, has_system_python
from benchmarks.noise import listen
from benchmarks.results import Claim, Table
from benchmarks.running import Running
from benchmarks.stage import Stage

_HELP = "zkexec --help"
_ARGPARSE = 'python -c "import argparse"'


def measure(stage: Stage) -> list[Table]:
    """Measure how long a question takes to be answered."""
    table = Table("help", "start → end of a question", "ms", references=(_ARGPARSE, INTERPRETER))
    table.claims = (Claim(_HELP, _HELP, _ARGPARSE, 1.5, 1.2),)
    python = stage.programs.python
    commands = {
        _ARGPARSE: [python, "-c", "import argparse"],
        "python -c pass": [python, "-c", "pass"],
        INTERPRETER: [python, "-I", "-c", "pass"],
        "python -I -S -c pass": [python, "-I", "-S", "-c", "pass"],
        _HELP: [stage.programs.zkexec, "--help"],
        "zkexec --version": [stage.programs.zkexec, "--version"],
        "zkexecctl --help": [f"{stage.programs.zkexec}ctl", "--help"],
    }
    if has_system_python():
        commands[f"{SYSTEM_PYTHON} -I -c pass"] = [str(SYSTEM_PYTHON), "-I", "-c", "pass"]
    table.series = {name: [] for name in commands}
    log = stage.folder("help") / "log"
    for number, order in enumerate(interleaved(list(commands), stage.rounds(200, 20) + 1)):
        listen(table)
        for name in order:
            process = Running(commands[name], log)
            took_ms = (process.wait() - process.began_ns) / 1e6
            if number:
                table.add(name, took_ms)
    return [table]
