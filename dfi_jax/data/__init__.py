"""Where images and their attribute scores come from, and which of them to take."""
