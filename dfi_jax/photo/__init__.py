"""Photos: reading and writing them, finding a face, cropping it, and pasting an edit back."""
