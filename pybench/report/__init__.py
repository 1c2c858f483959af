"""Writes down what was found: tables, pictures, a page; the only folder that prints results.

In: groups and comparisons of `analysis`. Out: a `document` for each thing that is printed, which
one writer a format (`terminal`, `markdown`, `csv`, `json`) writes; files for HdrHistogram (`hgrm`);
pictures (`plots/`) and a page (`page/`), both of what `charts/` computes. `summary` is what a run
prints, `results` what `report` does, as `chosen`, beside `comparison`, `syscalls`, `reference` and
`calibration`. `metrics` says what a table shows, `text` how a number is written, `style` which
colour a row has.
"""
