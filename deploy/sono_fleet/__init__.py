"""The fleet's side: what devices send arrives here and stays."""
