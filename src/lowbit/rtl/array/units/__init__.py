"""What works side by side in an array engine, a module each: its plan, what it takes, and how it is drawn."""
