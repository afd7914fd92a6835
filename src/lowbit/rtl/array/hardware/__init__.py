"""The units of an array engine, drawn."""
