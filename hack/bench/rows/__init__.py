"""What is measured: a family of rows per module."""
