"""The report of one or more experiments as one HTML file: plain data gathered from their folders, drawn in the browser."""
