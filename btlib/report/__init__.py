"""The run as one self-contained HTML page, beside the papers' numbers: every table and figure, and a model card.

`study` is what the page is made of, `sections` say it as `blocks`, `page` renders these.
"""
