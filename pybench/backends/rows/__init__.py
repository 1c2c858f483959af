"""The rows, one file a way: each is to be read as *the* way of its library, repeats and all.

In: a listening socket, N and the message size. Out: nothing; every connection has been echoed.
"""
