"""`make dev`: Dagster's web interface on the home that the command line uses.

Here: preparing the instance and handing the process over to `dagster dev`.
Not here: definitions.
"""

from __future__ import annotations

import os
import sys

from orchestration.dbt import ensure_manifest
from orchestration.settings import CHECKOUT, child_environment, load_settings, prepare_instance, tool


def main() -> None:
    """Replace this process by `dagster dev`; further arguments go to it."""
    settings = load_settings()
    prepare_instance(settings)
    ensure_manifest()
    os.chdir(CHECKOUT)
    arguments = ["dagster", "dev", "--module-name", "orchestration.definitions", *sys.argv[1:]]
    os.execve(tool("dagster"), arguments, child_environment(settings))


if __name__ == "__main__":
    main()
