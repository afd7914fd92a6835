"""What every scheme's ``train`` is made of. Needs torch; imported by what trains, never by the rest."""
