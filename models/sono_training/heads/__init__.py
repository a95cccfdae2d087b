"""The small heads of a bundle (sono_models.heads): what they are trained on, how, and what that was worth."""
