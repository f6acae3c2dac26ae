"""The same small site, written once with each framework as its documentation does."""
