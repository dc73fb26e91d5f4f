"""What goes to students: their version of each notebook, their folder, and a stub given back."""
