"""Authors and their books, behind the four requests that ``native`` measures."""
