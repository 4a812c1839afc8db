"""From a static multi-output file to one that leaves early by itself, and back.

`splice` does it: it brings the exits to one form (`normalize`, `dense_as_conv`), cuts the graph
into `stages`, and joins these with the `decision` at each exit (`builder`) by a `memory_plan` that
`packing` works out. `spliced` reads and patches such a file, `unsplice` is the way back.
`signatures` chooses what to splice in a file from elsewhere, `metadata` names what was spliced.
"""
