"""The functions of `lowbit.api`.

files.py        networks in and out
samples.py      samples as a network takes them
quantizing.py   float networks become low-bit ones
running.py      what networks say
"""
