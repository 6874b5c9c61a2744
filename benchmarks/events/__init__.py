"""What operators do to a proxy while it serves, and what its clients see of it."""
