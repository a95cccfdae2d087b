"""The device: sources, the frame loop, the judgement over time, the live view, the outbox and its uplink."""
