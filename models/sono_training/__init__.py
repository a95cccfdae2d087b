"""Training: data, network, fit, evaluation. Needs the extra `train`; never on a device."""
