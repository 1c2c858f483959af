"""The page: one HTML file that needs no network.

In: `charts` and tables. Out: the file. `write` puts it together of `sections` (what the template
`page.html` shows), `data` (what `script/` draws), `origin` (machines and commands) and
`library` (Plotly, packed). Nothing here needs matplotlib, NumPy or SciPy.
"""
