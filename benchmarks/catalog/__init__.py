"""Authors and their books, behind the four requests that ``native`` measures."""

BOOKS = 300
GATHERED = 5
LISTED = 20
