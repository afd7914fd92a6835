"""Four small networks trained on data at hand: their data and their training."""
