"""Hardware parts that every family has in its own form.

A behavioural model each, and a mapping where the synthesizer would not find the family's own block, or its
registers, by itself.
"""
