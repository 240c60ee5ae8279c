"""Read a file of `share`, which is inside of this package however zkexec was installed.

In a checkout, `zkexec/share` is a link to the folder `share`.  A wheel, a zipapp and the Debian
package contain a copy; so a zipapp, which installs nothing, can print its completions as well.
"""

from importlib.resources import files


def read_resource(path: str) -> str:
    """Return the text of a file whose path is relative to `share`.

    Raises FileNotFoundError if this zkexec was installed without it.
    """
    return files("zkexec").joinpath("share", *path.split("/")).read_text(encoding="utf-8")
