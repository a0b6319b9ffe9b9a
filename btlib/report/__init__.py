"""The run as one self-contained HTML page, beside the papers' numbers: every table and figure, and a model card.

`study` holds the data, `sections` turn it into `blocks`, and `page` renders these.
"""
