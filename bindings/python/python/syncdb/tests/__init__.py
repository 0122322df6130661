"""What programs that test themselves import."""
