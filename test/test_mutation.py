"""The mutants of `make mutate`: which mistakes are made, and where."""

from pathlib import Path

import pytest

from mutation import Mutant, chosen, mutants_of

CORE = Path(__file__).resolve().parent.parent / "src" / "zkexec" / "core"

GATE = '''
class Gate:
    """Opens once."""

    def __init__(self) -> None:
        self.opened = False

    def actions(self, now: float) -> list[str]:
        """What is to be done."""
        if self.opened and now >= self.due:
            self.count(now)
            return ["ring", f"after {now + 1}"]
        return []

    @property
    def due(self) -> float | None:
        """When."""
        return max(self.first, self.second)
'''


def mistakes(text: str) -> dict[str, list[str]]:
    """What is put in which line, by the function."""
    found: dict[str, list[str]] = {}
    for mutant in mutants_of(text.encode()):
        found.setdefault(mutant.function, []).append(f"{mutant.line}: {mutant.shown}")
    return found


def test_each_function_gets_its_mistakes() -> None:
    """Each does nothing once, and once each condition, call and listed action is another."""
    assert mistakes(GATE) == {
        "Gate.__init__": ["6: return None", "6: True"],
        "Gate.actions": [
            "10: return []",
            "10: (self.opened or now >= self.due)",
            "11: pass",
            "10: (now < self.due)",
            "12: [f'after {now + 1}']",
            "12: ['ring']",
        ],
        "Gate.due": ["18: return None", "18: min"],
    }


def test_two_of_each_function_are_chosen() -> None:
    """Without ALL=1 one that does nothing and one slight mistake are tried, and no beginnings."""
    mutants = chosen(list(mutants_of(GATE.encode())))
    assert [(mutant.function, mutant.is_hollow) for mutant in mutants] == [
        ("Gate.__init__", True),
        ("Gate.actions", True),
        ("Gate.actions", False),
        ("Gate.due", True),
        ("Gate.due", False),
    ]


@pytest.mark.parametrize("path", sorted(CORE.glob("*.py")), ids=lambda path: path.stem)
def test_a_mutant_is_a_program_of_its_own(path: Path) -> None:
    """Every mutant of the core can be compiled, and differs in its own lines alone."""
    text = path.read_bytes()
    mutants: list[Mutant] = list(mutants_of(text))
    assert mutants or "def " not in text.decode()
    for mutant in mutants:
        mutated = mutant.applied_to(text)
        compile(mutated, path, "exec")
        before, after = text.splitlines(), mutated.splitlines()
        assert before != after
        assert before[: mutant.line - 1] == after[: mutant.line - 1]
