"""resnetx from Python: the commands' work as functions, which return results instead of printing them.

Each that takes time has `progress`, which is called with a `resnetx.Progress` when a step begins and while it goes on.
"""
