"""The way back: safety snapshot, kept volumes, undo, and what a failed restore takes back."""
