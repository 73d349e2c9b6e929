"""Key rings, the key file, and sealing."""
