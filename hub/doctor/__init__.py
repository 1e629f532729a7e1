"""``hub doctor``: what could keep a hub from running well on this machine, each with what to do about it."""
