"""The bookshop's reading endpoints with stock Django alone, on the tables that the bookshop has made."""
