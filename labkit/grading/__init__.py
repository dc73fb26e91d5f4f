"""Grade what students hand in. Instructors have this package, students don't: a release leaves it out."""
