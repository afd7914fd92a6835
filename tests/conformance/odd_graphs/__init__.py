"""Random odd graphs: kinds declared in `families.FAMILIES`, and a check of everything."""
