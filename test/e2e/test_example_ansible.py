"""`examples/ansible`: the role is well formed, and a setting reaches zkexec as it was given."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "ansible"
ROLE = EXAMPLE / "roles" / "zkexec"
# What a task has beside its module.
KEYWORDS = {"name", "when", "tags", "loop", "loop_control", "register", "no_log"}
ODD = {
    "ZKEXEC_EXEC": "shop --price '5 $' --title \"a b\"",
    "ZKEXEC_HEALTH": 'test "$(cat C:\\dir)" = `date` # no comment',
    "ZKEXEC_HEALTH_DELAY": 60,
    "ZKEXEC_MIRROR": "/etc/a=/a  /etc/b=/b",
}


def read(file: Path) -> Any:
    """Read a file of YAML."""
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def tasks() -> list[dict[str, Any]]:
    """All tasks of the role."""
    return [task for file in sorted((ROLE / "tasks").glob("*.yml")) for task in read(file)]


def test_only_modules_of_ansible_itself_are_used() -> None:
    """Each task has a name and one module, which comes with Ansible."""
    modules = [sorted(task.keys() - KEYWORDS) for task in tasks()]

    assert len(modules) > 10
    assert [names for names in modules if len(names) != 1] == []
    assert [name for (name,) in modules if not name.startswith("ansible.builtin.")] == []
    assert all(task["name"] for task in tasks())


def test_what_the_role_names_exists() -> None:
    """Every variable of the role has a default or is registered, and every file is there."""
    texts = [file.read_text(encoding="utf-8") for file in ROLE.rglob("*") if file.is_file()]
    named = set(re.findall(r"\bzkexec_\w+", "\n".join(texts)))
    registered = {task["register"] for task in tasks() if "register" in task}
    defaults = set(read(ROLE / "defaults" / "main.yml"))

    assert named - registered == defaults
    (play,) = read(EXAMPLE / "playbook.yml")
    assert set(play["roles"][0]["vars"]) <= defaults
    templates = {task.get("ansible.builtin.template", {}).get("src") for task in tasks()} - {None}
    assert templates == {file.name for file in (ROLE / "templates").iterdir()}
    page = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    assert [name for name in defaults if f"`{name}`" not in page] == []


def test_settings_are_written_as_systemd_reads_them(tmp_path: Path) -> None:
    """Quotes, dollars and backslashes of a setting arrive; in quotes a shell reads as systemd."""
    text = (ROLE / "templates" / "service.env.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=False, trim_blocks=True)  # noqa: S701 -- no HTML
    rendered = environment.from_string(text).render(item={"name": "shop", "settings": ODD})
    file = tmp_path / "shop.env"
    file.write_text(rendered)

    for name, value in ODD.items():
        words = ["/bin/sh", "-c", f'. "$0"; printf %s "${name}"', str(file)]
        done = subprocess.run(words, check=True, capture_output=True, text=True)
        assert done.stdout == str(value)
    assert len(rendered.splitlines()) == 2 + len(ODD)


@pytest.mark.skipif(
    not shutil.which("ansible-playbook"), reason="ansible-playbook is not installed"
)
def test_ansible_writes_the_settings(tmp_path: Path) -> None:
    """The playbook writes the settings of the service, for root only, and checks its name."""
    inventory = tmp_path / "inventory.ini"
    inventory.write_text("[shop]\nlocalhost ansible_connection=local ansible_become=false\n")
    words = ["ansible-playbook", "-i", str(inventory), "--tags", "settings", "playbook.yml"]
    extra = ["-e", f"zkexec_settings_folder={tmp_path}/etc"]
    done = subprocess.run(
        [*words, *extra], cwd=EXAMPLE, check=False, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stdout
    file = tmp_path / "etc" / "shop.env"
    assert file.stat().st_mode & 0o777 == 0o600
    assert 'ZKEXEC_HEALTH="curl -fsS -o /dev/null \\"http://127.0.0.1:8080/\\""' in file.read_text()
