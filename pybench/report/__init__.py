"""Writes down what was found: tables, pictures, a page; the only folder that prints results.

In: groups and comparisons of `analysis`. Out: text in four formats (`terminal`, `markdown`, `csv`,
`json`), files for HdrHistogram (`hgrm`), pictures (`plots/`), a page (`page/`). `metrics` says what
a table shows, `text` how a number is written, `style` which colour a row has, `reference` carries
the figures of 2016, `summary` is what a run prints.
"""
