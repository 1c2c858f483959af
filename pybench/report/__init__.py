"""Results into tables, pictures and pages: one module per output format.

    load -> model (rounds, cells, groups) -> tables -> terminal, markdown, csv_format, json_format
                                                    `-> plots, html, hgrm
`metrics` says what a table shows, `text` how a number is written, `style` which colour a row has,
`reference` carries the figures of 2016. `cli` has the subcommands, `summary` what a run prints.
"""
