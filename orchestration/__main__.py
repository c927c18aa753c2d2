"""`python -m orchestration` is the `suture` command."""

from orchestration.cli import main

main()
