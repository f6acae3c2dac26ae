"""Pages for the staff of a site: their access, their stylesheet and their frame."""

from daf_views.staff.page import page_template, staff_page

__all__ = ["page_template", "staff_page"]
