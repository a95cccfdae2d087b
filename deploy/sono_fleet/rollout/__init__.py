"""Roll-outs: a law that decides (pure), an engine that reads, asks it, writes down and publishes."""
