"""Nothing: kept because programs import it."""
