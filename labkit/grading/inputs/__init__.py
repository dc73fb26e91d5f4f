"""Fresh inputs of each exercise: a module a lab, with cases drawn from a generator. Never inside the sandbox."""
