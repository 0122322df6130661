"""Changes, conflicts, and the protocol that brings rows to clients and back."""
