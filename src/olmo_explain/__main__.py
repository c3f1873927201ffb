"""`python -m olmo_explain`: the same as `olmo-explain`."""

from olmo_explain.cli import main

main()
