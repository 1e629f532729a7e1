"""The inbox: what a user's topics brought them, newest first, with read and archived marks and an exact unread count.

It is made of the log (``projection``) and kept in the database beside identity. ``service`` is what the rest of the hub
is handed of this package.

**Arithmetic.** Every topic is a *lane*. An entry in a lane has an ordinal: how many counted entries the lane had when
it came. So the entries of a lane after a place in the log are a difference of two ordinals, each found by one seek,
minus the *gaps*: ordinals whose entries left before their time (expired, or replaced by a newer one of their collapse
key), which are counted in blocks of 1, 64, 4,096 and 262,144 ordinals, so that a sum reads a few hundred small rows
at most.

A user has two *watermarks*: read and archived up to here. Above both everything is unread, below everything is not;
what a user says of single events is a *mark*. A mark has a delta: what it adds to or takes from the sum of its lane;
deltas are summed up as marks are made (*tallies*). Hence

    unread = Σ over the lanes (entries above the watermarks + tally)

An event that goes to several topics is in several lanes and counted once: in ``all`` if it goes there, since
everybody has that; otherwise in the user's own lane; otherwise in the lane of the combination of its topics, which is
in the inbox of whoever has one of them. What is left is *shared* and counted one by one, above the watermarks: events
for topics and single users at once, as those see them who have the topics; those with a collapse key, which may be
replaced in one topic and not in another; and those of topics that are in too many combinations.
"""
