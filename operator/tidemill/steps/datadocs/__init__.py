"""The docs page of a DatasetVersion: one HTML file that a person can open anywhere.

It loads nothing and runs nothing: style and pictures are inside it, and it has no script. What
comes from data is text in a tree of elements (`markup`), never markup, so nothing in a column's
name or value can become part of the page. Its size is bounded by the limits in `page`, whatever
the data hold.

`shapes` turns profiles into what is drawn, `charts` draws it, `comparison` and `timeline` count
what profiles do not tell, and `page` puts it together. `publish` is what a refresh calls.
"""
