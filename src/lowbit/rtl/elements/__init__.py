"""Processing elements: what multiplies and adds, one file each."""
