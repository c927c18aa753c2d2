"""`python -m benchmarks [landing|formats|night|landscape]`: run all of them, or the ones named."""

from __future__ import annotations

import sys
from importlib import import_module

BENCHMARKS = ("landing", "formats", "night", "landscape")


def main() -> None:
    """Run the benchmarks named on the command line, in their order here.

    Raises:
        SystemExit: a name is none of the benchmarks.
    """
    wanted = sys.argv[1:] or list(BENCHMARKS)
    if unknown := sorted(set(wanted) - set(BENCHMARKS)):
        raise SystemExit(f"no benchmark called {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    for name in BENCHMARKS:
        if name in wanted:
            import_module(f"benchmarks.{name}").run()


if __name__ == "__main__":
    main()
