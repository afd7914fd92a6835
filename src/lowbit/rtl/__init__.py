"""Hardware: a network becomes Verilog, simulated cycle by cycle, synthesized, placed and packaged."""
