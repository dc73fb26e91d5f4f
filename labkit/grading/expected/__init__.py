"""What is expected of each adapter, in float64 and without the solutions; a module a lab. Never inside the sandbox."""
