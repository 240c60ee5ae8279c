"""Read the options that name inputs: mirrors, templates and their values, variables.

A start with plain mirrors imports nothing for the others.
"""

from __future__ import annotations

from zkexec.cli import converters
from zkexec.cli.option_values import OptionReader, is_given
from zkexec.core.input_options import InputOptions, Mirror, Template
from zkexec.frozen import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from zkexec.cli.parser import ParsedArguments
    from zkexec.core.target_attributes import TargetAttributes

_OF_TARGETS = ("mirror", "template")
_OF_VARIABLES = ("env", "env-tree")
_NOT_OF_MIRRORS = ("template", "values", *_OF_VARIABLES)

NO_FILES = "there are no files that could change: add --mirror LOCAL_PATH=ZK_PATH"
"""Why an option has no effect."""


@frozen(kw_only=True)
class NamedInputs:
    """What the options of inputs say.

    `targets` are the local paths in the order given, those of trees with a slash.  `has_files` and
    `has_variables` mean that such an option is given, perhaps with a mistake.
    """

    inputs: InputOptions
    targets: tuple[str, ...]
    has_files: bool
    has_variables: bool
    attributes: TargetAttributes | None
    template_timeout_s: float
    state_dir: str
    pristine: bool

    @property
    def has_any(self) -> bool:
        """Whether anything could change."""
        return self.has_files or self.has_variables


def read_inputs(written: ParsedArguments, reading: OptionReader, lock: str) -> NamedInputs:
    """Read all inputs, and collect what does not fit together; `lock` is the name of the group."""
    before = len(reading.mistakes)
    found = _read_targets(written, reading)
    # After a mistake the rest of them would only bring mistakes that go away with it.
    is_right = len(reading.mistakes) == before
    targets = tuple(one.local_path for _, one in found) if is_right else ()
    inputs = InputOptions(
        mirrors=tuple(one for _, one in found if isinstance(one, Mirror)),
        templates=tuple(one for _, one in found if isinstance(one, Template)),
    )
    if any(reading.label(name) for name in _NOT_OF_MIRRORS) or inputs.trees:
        from zkexec.cli import input_kinds  # noqa: PLC0415 - files alone do without it

        inputs = input_kinds.complete(inputs, written, reading, lock)
    has_files = any(is_given(name, written, reading) for name in _OF_TARGETS)
    return NamedInputs(
        inputs=inputs,
        targets=targets,
        has_files=has_files,
        has_variables=any(is_given(name, written, reading) for name in _OF_VARIABLES),
        attributes=_read_attributes(reading, targets, has_files=has_files),
        template_timeout_s=reading.value("template-timeout", converters.seconds(least=0.1)),
        state_dir=reading.optional("state-dir", converters.folder) or "",
        pristine=reading.flag("pristine"),
    )


def check_target_name(path: str, targets: Sequence[str]) -> None:
    """Raise a ValueError unless a path is a target, below the folder of a tree, or above a target.

    Without targets there is another mistake already.
    """
    is_known = any(
        path == target
        or (path.endswith("/") and target.startswith(path))
        or (target.endswith("/") and path.startswith(target))
        for target in targets
    )
    if path and targets and not is_known:
        folder = f"{path}/"
        if any(target.startswith(folder) for target in targets):
            raise ValueError(f"names a folder without its slash: write {folder}")
        raise ValueError(
            "names no target: write the LOCAL_PATH or DIR/ of a --mirror or --template, "
            "a path below a DIR/, or a folder above one with / at its end"
        )


def _read_attributes(
    reading: OptionReader, targets: Sequence[str], *, has_files: bool
) -> TargetAttributes | None:
    given = [name for name in ("mode", "owner") if reading.label(name)]
    if given and not has_files:
        reading.without_effect(*given, reason=NO_FILES)
    if not given or not has_files:
        return None
    from zkexec.cli import attribute_options  # noqa: PLC0415 - only these options need it

    return attribute_options.read_rules(reading, lambda path: check_target_name(path, targets))


def _read_targets(
    written: ParsedArguments, reading: OptionReader
) -> list[tuple[str, Mirror | Template]]:
    """Read mirrors and templates in the order given; those of variables: mirrors, then templates.

    Each comes with the option by which it is given, as messages call it.
    """
    found: list[tuple[str, Mirror | Template]] = []
    for name, text in _texts_of_targets(written, reading):
        target: Mirror | Template | None
        if name == "mirror":
            target = reading.attempt(name, converters.mirror, text)
        else:
            from zkexec.cli.input_kinds import template  # noqa: PLC0415 - only templates need it

            target = reading.attempt(name, template, text)
        if target is not None:
            found.append((reading.label(name), target))
    templates = [
        (label, one.file) for label, one in found if isinstance(one, Template) and one.file
    ]
    if len(found) > 1 or templates:
        from zkexec.cli.target_clashes import clashes  # noqa: PLC0415 - one clashes with none

        targets = [(label, one.local_path) for label, one in found]
        reading.mistakes.extend(clashes(targets, templates))
    return found


def _texts_of_targets(written: ParsedArguments, reading: OptionReader) -> Sequence[tuple[str, str]]:
    texts = {name: reading.words(name) for name in _OF_TARGETS}
    if all(reading.is_typed(name) for name in _OF_TARGETS):
        left = {name: iter(texts[name]) for name in _OF_TARGETS}
        return [(name, next(left[name])) for name in written.order if name in left]
    return [(name, text) for name in _OF_TARGETS for text in texts[name]]
