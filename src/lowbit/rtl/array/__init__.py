"""The array engine: a dataflow of one unit per layer, each with its own folding."""
