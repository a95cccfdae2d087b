"""Slots: the bundles of a device, and the way of a new one to the frame loop and, if need be, back.

law.py      judges: a state machine over figures; no clock, no disk
records.py  what is written
disk.py     how it is written: durable step by durable step
folder.py   where it lies, and in which order it changes
boot.py     which bundle a start takes
candidate.py  one candidate on its way, with its trial
trial.py    a child process that tests a candidate and scores live frames beside the running one
watch.py    what the frame loop leaves for the thread beside it, at once
means.py    what that thread works with
reports.py  what is said of an update
updates.py  that thread
"""
