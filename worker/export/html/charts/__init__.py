"""Charts of the HTML report: SVG with presentation attributes only."""
