"""The board's own certificate: got with a one-time code, renewed before it ends."""
