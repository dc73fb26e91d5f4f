"""How grading calls an exercise: a module a lab, named as its checks; a function an exercise; arrays in, arrays out.

An adapter gets the student's function and the arrays of one case, calls the function, and returns what came as a dict of
arrays, tensors or numbers. It runs in the student's process, so it judges nothing: whoever grades compares what it returns
with what is expected. It is public, and holds no solution.
"""
