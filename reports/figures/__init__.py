"""The figures of the page: one a file, each a pure function from tables to a plotly figure."""
