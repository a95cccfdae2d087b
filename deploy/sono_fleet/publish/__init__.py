"""Publishing: the signed repository that devices update from (TUF), and the keys that sign it."""
