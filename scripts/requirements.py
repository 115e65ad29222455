"""Print requirements that pyproject.toml names, one a line.

usage: requirements.py [build] [EXTRA ...]

`build` is what building needs, and what the built package needs to run.
"""

import sys
from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    from pip._vendor import tomli as tomllib  # type: ignore[no-redef]


def main(groups: list[str]) -> int:
    """Print the requirements of the given groups."""
    pyproject = tomllib.loads(
        (Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8")
    )
    known = {
        "build": pyproject["build-system"]["requires"] + pyproject["project"]["dependencies"],
        **pyproject["project"]["optional-dependencies"],
    }
    for group in groups:
        if group not in known:
            print(f"no such group: {group}; there are {', '.join(known)}", file=sys.stderr)
            return 2
        print(*known[group], sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
