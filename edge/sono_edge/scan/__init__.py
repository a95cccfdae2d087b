"""What a scan leaves behind: captured frames, clips, and the card at its end; beside the frame path, never in it."""
