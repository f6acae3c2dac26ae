"""Modules, classes, functions and models of a project, as its source declares them."""
