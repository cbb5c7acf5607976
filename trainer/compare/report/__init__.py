"""From conclusions to a page, tables and plots."""
