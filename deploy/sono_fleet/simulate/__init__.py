"""A thousand boards on one machine: cheap clients that speak our own protocol, everything else is real."""
