"""Random engines, and two simulators that compare them with the integers of the network.

python -m tests.rtl.fuzz --lst 200 --arrays 40 --seed 0 --icarus 40     prints a line per difference
"""
