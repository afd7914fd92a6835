"""``python -m lowbit``: the command line, where its script is not on the path, such as under ``torchrun``."""

from lowbit.cli import main

main()
