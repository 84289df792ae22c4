"""The generated pages, one module each: `page()` returns the text of a page."""
