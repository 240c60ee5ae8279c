"""Write the man pages and the completions of both commands, from the same tables as `--help`.

`python tools/draw_papers.py` writes `share`; a test compares what it would write with what is
there.  The wheel installs these files where man and the shells look for them.
"""

import re
from pathlib import Path

import paper_bash
import paper_fish
import paper_man
import paper_zsh
from paper_programs import PROGRAMS
from zkexec import __version__

ROOT = Path(__file__).resolve().parent.parent
SHARE = ROOT / "share"


def released() -> str:
    """The date of this version in CHANGELOG.md, or "" before its release."""
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    dated = re.search(
        rf"^## {re.escape(__version__)} \((\d{{4}}-\d\d-\d\d)\)", changes, re.MULTILINE
    )
    return dated[1] if dated else ""


def papers() -> dict[Path, str]:
    """What each file should hold."""
    texts = {}
    for program in PROGRAMS:
        name = program.name
        texts[Path(f"man/man1/{name}.1")] = paper_man.page(program, __version__, released())
        texts[Path(f"bash-completion/completions/{name}")] = paper_bash.script(program)
        texts[Path(f"zsh/site-functions/_{name}")] = paper_zsh.script(program)
        texts[Path(f"fish/vendor_completions.d/{name}.fish")] = paper_fish.script(program)
    return {SHARE / path: text for path, text in texts.items()}


if __name__ == "__main__":
    for path, text in papers().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
